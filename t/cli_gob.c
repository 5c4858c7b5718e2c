/*
 * t/cli_gob.c: gob both ways against bytes that Go 1.19's net/rpc made, every
 * cut of them, and messages that a hostile peer could send.
 */

#include <stdlib.h>
#include <string.h>

#include "cli/cf_plugin.h"
#include "cli/gob.h"
#include "tap.h"


#define MAX_BYTES  2048
#define MAX_LOG    2048

/* --- golden bytes: encoding/gob/doc.go, and a server with these methods --- */

#define POINT  "1fff8103010105506f696e7401ff82000102010158010400010159010400" \
               "000007ff82012c014200"

#define RESPONSE_TYPE                                                        \
    "3aff8503010108526573706f6e736501ff86000103010d536572766963654d6574686f" \
    "64010c00010353657101060001054572726f72010c000000"

#define REQUEST_TYPE                                                         \
    "2fff83030101075265717565737401ff84000102010d536572766963654d6574686f64" \
    "010c0001035365710106000000"

#define TOKEN_REPLY RESPONSE_TYPE                                            \
    "1aff860115436c69527063436d642e416363657373546f6b656e00"                 \
    "0d0c000a62656172657220616263"

#define SSL_REPLY RESPONSE_TYPE                                              \
    "1cff860117436c69527063436d642e497353534c44697361626c656400" "03020000"

#define FAIL_REPLY RESPONSE_TYPE                                             \
    "19ff86010e436c69527063436d642e4661696c0204626f6f6d00"                   \
    "0aff87030102ff88000000" "03ff8800"

#define OUTPUT_REPLY RESPONSE_TYPE                                           \
    "20ff86011b436c69527063436d642e4765744f7574707574416e645265736574000cff" \
    "89020102ff8a00010c000009ff8a00020161026263"

#define SPACE_REPLY RESPONSE_TYPE                                            \
    "1eff860119436c69527063436d642e47657443757272656e7453706163650024ff8b03" \
    "010105537061636501ff8c000101010b53706163654669656c647301ff8e0000002bff" \
    "8d0301010b53706163654669656c647301ff8e000102010447756964010c0001044e61" \
    "6d65010c0000000bff8c0101016701016e0000"

#define ORG_REPLY RESPONSE_TYPE                                              \
    "1cff860117436c69527063436d642e47657443757272656e744f72670032ff8f030101" \
    "0c4f7267616e697a6174696f6e01ff9000010101124f7267616e697a6174696f6e4669" \
    "656c647301ff9200000047ff91030101124f7267616e697a6174696f6e4669656c6473" \
    "01ff92000103010447756964010c0001044e616d65010c00010f51756f746144656669" \
    "6e6974696f6e01ff94000000ff91ff930301010b51756f74614669656c647301ff9400" \
    "0107010447756964010c0001044e616d65010c00010b4d656d6f72794c696d69740104" \
    "000113496e7374616e63654d656d6f72794c696d6974010400010b526f757465734c69" \
    "6d6974010400010d53657276696365734c696d697401040001174e6f6e426173696353" \
    "65727669636573416c6c6f77656401020000000dff900101016701016e01000000"

/* Argument of SetPluginMetadata. */
#define METADATA                                                             \
    "67ff950301010e506c7567696e4d6574616461746101ff9600010501044e616d65010c" \
    "00010756657273696f6e01ff9800010e4c69627261727956657273696f6e01ff980001" \
    "0d4d696e436c6956657273696f6e01ff98000108436f6d6d616e647301ffa000000037" \
    "ff970301010b56657273696f6e5479706501ff9800010301054d616a6f720104000105" \
    "4d696e6f7201040001054275696c6401040000001dff9f0201010e5b5d6d61696e2e43" \
    "6f6d6d616e6401ffa00001ff9a000047ff9903010107436f6d6d616e6401ff9a000104" \
    "01044e616d65010c000105416c696173010c00010848656c7054657874010c00010c55" \
    "7361676544657461696c7301ff9c0000002aff9b03010105557361676501ff9c000102" \
    "01055573616765010c0001074f7074696f6e7301ff9e00000021ff9d040101116d6170" \
    "5b737472696e675d737472696e6701ff9e00010c010c000036ff960104706361700101" \
    "0201040106000100010001010104706361700203636170010107636620706361700101" \
    "016f036f7574000000"

/* A second call on a connection: Seq is not zero, Request is known. */
#define TOKEN_CALLS REQUEST_TYPE                                             \
    "1aff840115436c69527063436d642e416363657373546f6b656e00" "030c0000"      \
    "1cff840115436c69527063436d642e416363657373546f6b656e010100" "030c0000"

/* Definitions of id 65: []string, and a struct {A interface}. */
#define STRINGS    "0cff81020102ff8200010c0000"
#define INTERFACE  "12ff8103" "0102ff8200" "0101" "0101410110000000"

typedef struct {
    const char  *what;
    const char  *hex;
    const char  *log;      /* what the visitor is told, or what is wrong */
} gob_case_t;

static const gob_case_t  golden[] = {
    { "doc.go's Point", POINT, "X=22 Y=33 ;" },
    { "a string", "050c00026869", "='hi' ;" },
    { "true", "03020001", "=true ;" },
    { "an empty string", "030c0000", "='' ;" },
    { "AccessToken", TOKEN_REPLY,
      "ServiceMethod='CliRpcCmd.AccessToken' ;='bearer abc' ;" },
    { "IsSSLDisabled", SSL_REPLY,
      "ServiceMethod='CliRpcCmd.IsSSLDisabled' ;=false ;" },
    { "an error", FAIL_REPLY,
      "ServiceMethod='CliRpcCmd.Fail' Error='boom' ;;" },
    { "a list", OUTPUT_REPLY,
      "ServiceMethod='CliRpcCmd.GetOutputAndReset' ;[]='a' []='bc' ;" },
    { "GetCurrentSpace", SPACE_REPLY,
      "ServiceMethod='CliRpcCmd.GetCurrentSpace' ;"
      "SpaceFields.Guid='g' SpaceFields.Name='n' ;" },
    { "GetCurrentOrg", ORG_REPLY,
      "ServiceMethod='CliRpcCmd.GetCurrentOrg' ;"
      "OrganizationFields.Guid='g' OrganizationFields.Name='n' ;" },
    { "SetPluginMetadata", METADATA,
      "Name='pcap' Version.Major=1 Version.Minor=2 Version.Build=3 "
      "Commands[].Name='pcap' Commands[].HelpText='cap' "
      "Commands[].UsageDetails.Usage='cf pcap' "
      "Commands[].UsageDetails.Options{}='o' "
      "Commands[].UsageDetails.Options{}='out' ;" },
    { "two calls", TOKEN_CALLS,
      "ServiceMethod='CliRpcCmd.AccessToken' ;='' ;"
      "ServiceMethod='CliRpcCmd.AccessToken' Seq=1u ;='' ;" },

    /* gob/doc.go */
    { "a negative int", "03040001", "=-1 ;" },
    { "256 as uint", "050600fe0100", "=256u ;" },
    { "the lowest int", "0b0400f8ffffffffffffffff",
      "=-9223372036854775808 ;" },
    { "a float", "050800fef83f", "=63551f ;" },
    { "bytes", "050a00020001", "=(2) ;" },
    { "a nil interface", INTERFACE "05ff82010000", ";" },
    { "an interface", INTERFACE "10ff820106737472696e670c0300017800", ";" },
    { "a complex number", "040e000101", ";" },
};

static const gob_case_t  hostile[] = {
    { "an empty message", "00", "frame" },
    { "more than 1 MiB", "fd10000101", "frame" },
    { "a length of 8 bytes", "f8ffffffffffffffff01", "frame" },
    { "a length of 9 bytes", "f7ffffffffffffffffff01", "frame" },
    { "no type at all", "0184", "a message without a type" },
    { "an id that has no counterpart", "09f8ffffffffffffffff",
      "a type of no id" },
    { "an id below 64 defined", "0a7d0201027e00010c0000",
      "a type that is there already" },
    { "a value of no type", "03ff8200", "a value of an unknown type" },
    { "a value of wireType", "03200000", "a value of an unknown type" },
    { "a singleton without its marker", "050c01026869",
      "a value of an unknown type" },
    { "bytes behind a value", "060c0002686900", "bytes behind a value" },
    { "a string longer than its message", "050c00036869", "a value is cut" },
    { "a string of 2^64 - 1 bytes", "0c0c00f8ffffffffffffffff68",
      "a value is cut" },
    { "a number cut", "040600fe01", "a value is cut" },
    { "a type of no kind", "03ff8100", "a type of no kind" },
    { "a type of kind 8", "04ff810800", "a type of no kind" },
    { "a type of two kinds", "10ff81020102ff8200010c00010102ff820000",
      "bytes behind a type's definition" },
    { "bytes behind a type", "0dff81020102ff8200010c000000",
      "bytes behind a type's definition" },
    { "a type cut", "06ff81020102ff", "a type's definition is cut" },
    { "a type twice", STRINGS STRINGS, "a type that is there already" },
    { "more elements than bytes", STRINGS "06ff8200050161",
      "more elements than bytes" },
    { "2^63 elements", STRINGS "0eff8200f880000000000000000161",
      "more elements than bytes" },
    { "elements of no type", "0dff81020102ff820001ffc80000" "05ff82000100",
      "a value of an unknown type" },
    { "a list of itself", "0dff81020102ff820001ff820000"
                          "18ff82000101010101010101010101010101010101010101"
                          "01", "nested too deep" },
    { "an interface cut", INTERFACE "0cff820106737472696e670c09",
      "an interface is cut, or defines types" },
    { "an interface that defines types",
      INTERFACE "0dff820106737472696e67ff8500",
      "an interface is cut, or defines types" },
    { "a field that is not there", POINT "05ff82032c00",
      "a field that the type does not have" },
    { "a delta of 2^64 - 1", POINT "0dff82f8ffffffffffffffff2c00",
      "a field that the type does not have" },
    { "a field without a name", "0fff81030102ff82000101020400" "0000",
      "a field without a name" },
    { "a field's name with a dot",
      "12ff81030102ff8200010101022e780104000000",
      "a field's name is none of Go's" },
    { "a field's name that is empty", "10ff81030102ff82000101010001040000" "00",
      "a field's name is too long or cut" },
    { "more fields than bytes", "0aff81030102ff8200017f",
      "more fields than bytes" },
};


static size_t
unhex(uint8_t *dst, const char *hex)
{
    char    two[3];
    size_t  n;

    for (n = 0; hex[0] != '\0' && hex[1] != '\0' && n < MAX_BYTES; n++) {
        two[0] = hex[0];
        two[1] = hex[1];
        two[2] = '\0';
        dst[n] = (uint8_t) strtoul(two, NULL, 16);
        hex += 2;
    }

    return n;
}


static void __attribute__((format(printf, 2, 3)))
add(char *log, const char *fmt, ...)
{
    size_t   n;
    va_list  ap;

    n = strlen(log);
    va_start(ap, fmt);
    vsnprintf(log + n, MAX_LOG - n, fmt, ap);
    va_end(ap);
}


static void
visit(void *ctx, const char *path, const gob_scalar_t *v)
{
    add(ctx, "%s=", path);

    switch (v->type) {

    case GOB_BOOL:
        add(ctx, "%s ", v->u ? "true" : "false");
        break;

    case GOB_INT:
        add(ctx, "%lld ", (long long) v->i);
        break;

    case GOB_STRING:
        add(ctx, "'%.*s' ", (int) v->len, v->p);
        break;

    case GOB_BYTES:
        add(ctx, "(%zu) ", v->len);
        break;

    default:
        add(ctx, "%llu%c ", (unsigned long long) v->u,
            v->type == GOB_UINT ? 'u' : 'f');
        break;
    }
}


/* Reads all messages; ";" behind each value. 0, or -1 with why in log. */
static int
read_all(char *log, const uint8_t *p, size_t len)
{
    int     rc;
    gob_t  *g;
    size_t  head, body;

    log[0] = '\0';
    rc = 0;
    g = gob_new();

    while (len > 0) {
        rc = gob_frame(p, len, &head, &body);

        if (rc != 1) {
            snprintf(log, MAX_LOG, rc == 0 ? "cut" : "frame");
            rc = -1;
            break;
        }

        rc = gob_message(g, p + head, body, visit, log);

        if (rc == -1) {
            snprintf(log, MAX_LOG, "%s", gob_error(g));
            break;
        }

        add(log, "%s", rc == 1 ? ";" : "");
        p += head + body;
        len -= head + body;
        rc = 0;
    }

    gob_free(g);

    return rc;
}


/* A copy of exactly that size, so that reading behind it is seen. */
static int
read_copy(char *log, const uint8_t *p, size_t len)
{
    int       rc;
    uint8_t  *copy;

    copy = malloc(len ? len : 1);
    if (copy == NULL) {
        exit(1);
    }

    memcpy(copy, p, len);
    rc = read_all(log, copy, len);
    free(copy);

    return rc;
}


static void
test_cases(const gob_case_t *cases, size_t n, int expected)
{
    int      rc;
    char     log[MAX_LOG];
    size_t   i, len;
    uint8_t  bytes[MAX_BYTES];

    for (i = 0; i < n; i++) {
        len = unhex(bytes, cases[i].hex);
        rc = read_copy(log, bytes, len);

        ok(rc == expected && strcmp(log, cases[i].log) == 0, "%s: %s",
           cases[i].what, log);
    }
}


/* Every cut is asked for more, or refused; every byte may be any other. */
static void
test_damage(void)
{
    char     log[MAX_LOG];
    size_t   i, len, cut, bad;
    uint8_t  bytes[MAX_BYTES], old;

    for (i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        len = unhex(bytes, golden[i].hex);
        bad = 0;

        for (cut = 1; cut < len; cut++) {
            (void) read_copy(log, bytes, cut);
        }

        for (cut = 0; cut < len; cut++) {
            old = bytes[cut];

            for (bytes[cut] = 0; bytes[cut] < 255; bytes[cut]++) {
                bad += read_copy(log, bytes, len) == -1;
            }

            bytes[cut] = old;
        }

        ok(bad > 0, "%s: %zu damages refused", golden[i].what, bad);
    }
}


static int
same(const gob_out_t *o, const char *hex)
{
    size_t   len;
    uint8_t  bytes[MAX_BYTES];

    len = unhex(bytes, hex);

    return !o->failed && o->len == len && memcmp(o->data, bytes, len) == 0;
}


static void
test_encode(void)
{
    int                 last;
    gob_out_t           o = { 0 };
    static const char  *names[] = { "X", "Y" };
    gob_field_t         fields[] = { { names[0], GOB_INT },
                                     { names[1], GOB_INT } };
    gob_type_t          point = { 65, GOB_STRUCT, "Point", 0, 0, fields, 2 };
    cf_option_t         option = { "o", "out" };
    cf_meta_t           meta = { "pcap", { 1, 2, 3 }, "pcap", "cap",
                                 "cf pcap", &option, 1 };

    gob_put_type(&o, &point);
    gob_begin(&o, 65, GOB_STRUCT);
    last = -1;
    gob_put_field(&o, &last, 0);
    gob_put_int(&o, 22);
    gob_put_field(&o, &last, 1);
    gob_put_int(&o, 33);
    gob_put_uint(&o, 0);
    gob_end(&o);
    ok(same(&o, POINT), "a struct is put as Go puts it");
    gob_out_free(&o);

    gob_begin(&o, GOB_INT, GOB_KINDS);
    gob_put_int(&o, INT64_MIN);
    gob_end(&o);
    ok(same(&o, "0b0400f8ffffffffffffffff"), "the lowest int");
    gob_out_free(&o);

    gob_begin(&o, GOB_UINT, GOB_KINDS);
    gob_put_uint(&o, 256);
    gob_end(&o);
    ok(same(&o, "050600fe0100"), "256");
    gob_out_free(&o);

    cf_plugin_encode(&o, &meta);
    ok(same(&o, METADATA), "metadata are put as Go puts them");
    gob_out_free(&o);
}


static void
test_limits(void)
{
    int        n, rc;
    char       name[300];
    gob_t     *g;
    size_t     i, head, body;
    gob_out_t  o = { 0 };
    gob_type_t type = { 0, GOB_SLICE, "", GOB_STRING, 0, NULL, 0 };
    gob_field_t field = { name, GOB_STRING };

    g = gob_new();
    rc = 0;

    for (n = 0; n <= GOB_MAX_TYPES && rc == 0; n++) {
        type.id = 100 + n;
        gob_put_type(&o, &type);
        rc = gob_frame(o.data, o.len, &head, &body) == 1
             ? gob_message(g, o.data + head, body, NULL, NULL) : -2;
        gob_out_free(&o);
    }

    ok(rc == -1 && n == GOB_MAX_TYPES + 1, "so many types and no more");
    ok(gob_message(g, (const uint8_t *) "\x0c\0\0", 3, NULL, NULL) == -1,
       "nothing is read behind an error");
    gob_free(g);

    for (i = 63; i <= 64; i++) {
        g = gob_new();
        memset(name, 'x', i);
        name[i] = '\0';
        type.kind = GOB_STRUCT;
        type.fields = &field;
        type.nfields = 1;
        gob_put_type(&o, &type);
        rc = gob_frame(o.data, o.len, &head, &body) == 1
             ? gob_message(g, o.data + head, body, NULL, NULL) : -2;
        ok(rc == (i <= GOB_MAX_NAME ? 0 : -1), "a name of %zu", i);
        gob_out_free(&o);
        gob_free(g);
    }

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';

    for (i = 0; i < 10000; i++) {
        gob_put_text(&o, name);
    }

    ok(o.failed && o.len <= GOB_MAX_MESSAGE, "what is put has a ceiling");
    gob_out_free(&o);
}


static void
test_called(void)
{
    unsigned     port;
    const char  *a[6] = { "pcap", "51234", "pcap", "-o", "x", NULL };

    ok(cf_plugin_called(5, (char **) a, &port) == CF_PLUGIN_RUN
       && port == 51234, "run");

    a[2] = "capture";
    ok(cf_plugin_called(3, (char **) a, &port) == CF_PLUGIN_RUN, "its other"
       " name");

    a[2] = "SendMetadata";
    ok(cf_plugin_called(3, (char **) a, &port) == CF_PLUGIN_METADATA,
       "metadata");
    ok(cf_plugin_called(4, (char **) a, &port) == CF_PLUGIN_NOT,
       "not with more words");

    a[2] = "CLI-MESSAGE-UNINSTALL";
    ok(cf_plugin_called(3, (char **) a, &port) == CF_PLUGIN_UNINSTALL,
       "uninstall");

    a[2] = "pcap";
    ok(cf_plugin_called(2, (char **) a, &port) == CF_PLUGIN_NOT, "no command");

    a[1] = "65536";
    ok(cf_plugin_called(3, (char **) a, &port) == CF_PLUGIN_NOT, "no port");
    a[1] = "0";
    ok(cf_plugin_called(3, (char **) a, &port) == CF_PLUGIN_NOT, "port 0");
    a[1] = "1x";
    ok(cf_plugin_called(3, (char **) a, &port) == CF_PLUGIN_NOT, "no number");
    a[1] = "static";
    ok(cf_plugin_called(3, (char **) a, &port) == CF_PLUGIN_NOT, "a command");
}


int
main(void)
{
    test_cases(golden, sizeof(golden) / sizeof(golden[0]), 0);
    test_cases(hostile, sizeof(hostile) / sizeof(hostile[0]), -1);
    test_damage();
    test_encode();
    test_limits();
    test_called();

    return tap_done();
}
