/*
 * t/store_text.c: texts of others become one clean line of UTF-8; names are
 * files of the store's, or are not.
 */

#include <string.h>

#include "store/text.h"
#include "t/tap.h"


#define ID  "0123456789abcdef0123456789abcdef"


static void
clean(const char *src, size_t size, const char *want)
{
    char  dst[64];

    memset(dst, 'x', sizeof(dst));
    text_clean(dst, size, src);
    ok(strcmp(dst, want) == 0, "\"%s\"", dst);
}


int
main(void)
{
    size_t  i;
    char    id[33];

    static const char  *const none[] = {
        "", ID, ID ".pcap.part", ID ".zst", ID ".part.zst",
        ID ".pcapng/", ID "x.pcap", "../" ID,
        "0123456789ABCDEF0123456789ABCDEF.pcap", "records.db", ID ".",
        "0123456789abcdef0123456789abcde.pcap"
    };

    clean("as it is", 64, "as it is");
    clean("", 64, "");
    clean("n\xc3\xbcr", 64, "n\xc3\xbcr");
    clean("one\ntwo\x1b[31m", 64, "one?two?[31m");
    clean("no UTF-8: \xff\xc3\xbc", 64, "no UTF-8: ???");
    clean("C1: \xc2\x9b", 64, "C1: ??");
    clean("12345678", 8, "1234567");
    clean("123456\xc3\xbc", 8, "123456");
    clean("12345\xe2\x82\xac", 8, "12345");
    clean("\xbf\xbf\xbf\xbf", 4, "");

    ok(text_is_hex(ID, 32) && !text_is_hex(ID, 31) && !text_is_hex(ID, 64)
       && !text_is_hex("G", 1) && !text_is_hex("A", 1), "hex digits");

    ok(text_is_file(ID ".pcapng", id) && strcmp(id, ID) == 0
       && text_is_file(ID ".pcap", NULL) && text_is_file(ID ".part", id),
       "files of the store");
    ok(text_is_file(ID ".pcapng.zst", id) && text_is_file(ID ".pcap.zst", id),
       "compressed ones");

    for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        ok(!text_is_file(none[i], id), "no file of the store: %s", none[i]);
    }

    return tap_done();
}
