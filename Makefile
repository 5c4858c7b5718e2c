# Makefile: builds, tests and shows the whole project. Nothing is installed
# or changed outside of $(BUILDDIR), but by `deps` (Debian packages, only as
# root) and `install`. docs/BUILD.md explains targets and variables.
#
#   CC, CFLAGS, LDFLAGS   as usual; warnings are errors in any case
#   BUILDDIR              where everything goes (default build)
#   SAN=1                 address and undefined-behaviour sanitizers, goes to
#                         build/asan
#   NGINX_SRC=path        build the module for this plain nginx source tree
#   MINUTES=n             length of soak; of fuzz for each target
#   V=1                   show the commands

SHELL    = /bin/sh

ifdef SAN
BUILDDIR ?= build/asan
CFLAGS   ?= -O1 -g
SANFLAGS  = -fsanitize=address,undefined -fno-sanitize-recover=all \
            -fno-omit-frame-pointer
else
BUILDDIR ?= build
CFLAGS   ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
SANFLAGS  =
endif

FUZZ_CC  ?= clang
FUZZ_SECONDS ?= 60

PREFIX      ?= /usr/local
NGINX_MODULES_DIR ?= /usr/lib/nginx/modules

ifndef V
Q = @
say = @echo "  $(1)	$(2)"
endif

B         = $(BUILDDIR)
BASEFLAGS = -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -fPIC -MMD -MP
COMPILE   = $(CC) $(BASEFLAGS) $(SANFLAGS) $(CPPFLAGS) $(CFLAGS)
LINK      = $(CC) $(SANFLAGS) $(CFLAGS) $(LDFLAGS)

AGENT_LIBS = -lpcap -lssl -lcrypto -ljansson
CLI_LIBS   = -lcurl -ljansson -lyaml -lcrypto -lzstd
STORE_LIBS = -lcurl -ljansson -lexpat -lsqlite3 -lcrypto -lzstd

# A test, fuzz target or benchmark asks for further libraries by a line
# "/* LDFLAGS: -lfoo */" of its own.
EXTRA_LIBS = `sed -n 's,^/\* LDFLAGS: \(.*\) \*/.*,\1,p' $<`

objs_of    = $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard $(1)/*.c)))

PCAPX_OBJS = $(call objs_of,pcapx)
AGENT_OBJS = $(call objs_of,agent)
CLI_OBJS   = $(call objs_of,cli)
STORE_OBJS = $(call objs_of,store)
STORE_ROOMS = $(filter-out %/main.o,$(STORE_OBJS))
LIB        = $(B)/libpcapx.a

TESTS      = $(patsubst %.c,$(B)/%,$(sort $(wildcard t/*.c)))
BENCHES    = $(patsubst %.c,$(B)/%,$(sort $(wildcard bench/*.c)))
FUZZERS    = $(patsubst %.c,$(B)/%,$(sort $(wildcard fuzz/*.c)))

# What a test may use beside the library, by its name. Of the module it is
# the files that know nothing of nginx.
room_objs  = $(if $(filter agent_%,$(1)),$(filter-out %/main.o,$(AGENT_OBJS))) \
             $(if $(filter cli_%,$(1)),$(filter-out %/main.o,$(CLI_OBJS))) \
             $(if $(filter store_%,$(1)),$(STORE_ROOMS)) \
             $(if $(filter fuzz_scgi,$(1)),$(B)/obj/store/scgi.o) \
             $(if $(filter jwt fuzz_jwt,$(1)),$(B)/obj/module/jwt.o) \
             $(if $(filter zip_writer,$(1)),$(B)/obj/module/zip_writer.o)
room_libs  = $(if $(filter agent_%,$(1)),$(AGENT_LIBS)) \
             $(if $(filter cli_%,$(1)),$(CLI_LIBS)) \
             $(if $(filter store_%,$(1)),$(STORE_LIBS))


.PHONY: all lib agent cli store module nginx-san tests fuzzers benches \
        deps deps-demo test unit functional ut image soak rights large \
        lint lint-style lint-scripts lint-cppcheck lint-tidy fuzz bench \
        interop demo demo-up demo-down install clean

all: lib agent cli store module

lib: $(LIB)

agent: $(B)/pcap-agent

cli: $(B)/pcap-cli

store: $(B)/pcap-store

tests: $(TESTS)

benches: $(BENCHES)

fuzzers: $(FUZZERS)


$(LIB): $(PCAPX_OBJS)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/pcap-agent: $(AGENT_OBJS) $(LIB)
	$(call say,LD,$@)
	$(Q)$(LINK) -o $@ $(AGENT_OBJS) $(LIB) $(AGENT_LIBS)

$(B)/pcap-cli: $(CLI_OBJS) $(LIB)
	$(call say,LD,$@)
	$(Q)$(LINK) -o $@ $(CLI_OBJS) $(LIB) $(CLI_LIBS)

$(B)/pcap-store: $(STORE_OBJS) $(LIB)
	$(call say,LD,$@)
	$(Q)$(LINK) -o $@ $(STORE_OBJS) $(LIB) $(STORE_LIBS)

$(B)/obj/pcapx/%.o: pcapx/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(COMPILE) -Wconversion -c -o $@ $<

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(COMPILE) -c -o $@ $<

.SECONDEXPANSION:

$(B)/t/%: t/%.c $(LIB) $$(call room_objs,$$*)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(COMPILE) -MF $@.d -o $@ $< $(call room_objs,$*) $(LIB) $(LDFLAGS) \
	    $(call room_libs,$*) $(EXTRA_LIBS)

$(B)/bench/%: bench/%.c $(LIB) $$(call room_objs,$$*)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(COMPILE) -MF $@.d -o $@ $< $(call room_objs,$*) $(LIB) \
	    $(LDFLAGS) $(call room_libs,$*) $(EXTRA_LIBS)


# Makes the requests of store/s3.h by hand, for interop/s3.t.
$(B)/interop/s3_client: interop/s3_client.c $(STORE_ROOMS) $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(COMPILE) -MF $@.d -o $@ $< $(STORE_ROOMS) $(LIB) $(LDFLAGS) \
	    $(STORE_LIBS)


# Fuzz targets have objects of their own: coverage needs clang's help.

FUZZFLAGS  = -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -MMD -MP -O1 \
             -g -fno-omit-frame-pointer -fno-sanitize-recover=all
FUZZSAN    = address,undefined

fuzz_objs  = $(patsubst $(B)/obj/%,$(B)/fuzz/obj/%,$(1))

$(B)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) $(FUZZFLAGS) -fsanitize=fuzzer-no-link,$(FUZZSAN) -c -o $@ $<

$(B)/fuzz/%: fuzz/%.c $$(call fuzz_objs,$$(PCAPX_OBJS)) \
             $$(call fuzz_objs,$$(call room_objs,$$*))
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) $(FUZZFLAGS) -fsanitize=fuzzer,$(FUZZSAN) -MF $@.d -o $@ $< \
	    $(call fuzz_objs,$(call room_objs,$*)) \
	    $(call fuzz_objs,$(PCAPX_OBJS)) $(call room_libs,$*) $(EXTRA_LIBS)


# Targets that call into module/ take nginx's own memory and text functions,
# from the tree that nginx-san is built of. What else the module's objects name
# is not there: absent.c makes it abort, should it ever be called.

NGX_TREE   = build/san/tree
NGX_INC    = $(addprefix -isystem $(NGX_TREE)/,src/core src/event \
             src/os/unix src/http src/http/modules src/http/v2 objs)
NGX_FLAGS  = $(FUZZFLAGS) $(NGX_INC) -DNGX_DEBUG_PALLOC=1 \
             -fsanitize=fuzzer-no-link,$(FUZZSAN)
NGX_CORE   = core/ngx_palloc core/ngx_array core/ngx_string os/unix/ngx_alloc
NGX_OBJS   = $(NGX_CORE:%=$(B)/fuzz/obj/nginx/%.o) \
             $(patsubst %,$(B)/fuzz/obj/ngx/%.o,fuzz/ngx/core module/claims \
             module/options module/reply)

$(NGX_TREE)/objs/ngx_auto_config.h:
	@BUILDDIR=build NGINX_SAN_SRC="$(NGINX_SAN_SRC)" \
	    tools/build-nginx-san --nginx-only

$(B)/fuzz/obj/nginx/%.o: $(NGX_TREE)/objs/ngx_auto_config.h
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) $(NGX_FLAGS) -w \
	    -fno-sanitize=nonnull-attribute,alignment -c -o $@ \
	    $(NGX_TREE)/src/$*.c

$(B)/fuzz/obj/ngx/%.o: %.c $(NGX_TREE)/objs/ngx_auto_config.h
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) $(NGX_FLAGS) -c -o $@ $<

$(B)/fuzz/absent.c: $(NGX_OBJS)
	$(Q)nm $^ | awk '$$1 == "U" && $$2 ~ /^ngx_/ { used[$$2] } \
	    NF == 3 { here[$$3] } END { print "#include <stdlib.h>"; \
	    for (s in used) if (!(s in here)) \
	    print "void " s "(void);\nvoid " s "(void) { abort(); }" }' >$@

$(filter $(B)/fuzz/ngx_%,$(FUZZERS)): $(B)/fuzz/%: fuzz/%.c \
             $(B)/fuzz/absent.c $(NGX_OBJS) $(call fuzz_objs,$(PCAPX_OBJS))
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(FUZZ_CC) $(NGX_FLAGS) -fsanitize=fuzzer,$(FUZZSAN) -MF $@.d -o $@ \
	    $< $(B)/fuzz/absent.c $(NGX_OBJS) \
	    $(call fuzz_objs,$(PCAPX_OBJS)) -lcrypto -ljansson

# Implicit rules must not drop objects that only tests asked for.
.SECONDARY:

-include $(wildcard $(B)/obj/*/*.d $(B)/interop/*.d $(B)/t/*.d \
                    $(B)/bench/*.d $(B)/fuzz/*.d \
                    $(B)/fuzz/obj/*/*.d $(B)/fuzz/obj/ngx/*/*.d \
                    $(B)/fuzz/obj/ngx/*/*/*.d)


# nginx: tools/build-module copies the tree, configures it when the list of
# sources or the options changed, and leaves the rest to nginx's own make.

module:
	@BUILDDIR=$(B) CC="$(CC)" NGINX_SRC="$(NGINX_SRC)" \
	    NGINX_CONF="$(NGINX_CONF)" tools/build-module

nginx-san:
	@BUILDDIR=build NGINX_SAN_SRC="$(NGINX_SAN_SRC)" tools/build-nginx-san


# Packages: installed as root, otherwise named in one line.

deps:
	@tools/deps test

deps-demo:
	@tools/deps demo


# Tests: tools/run-tests builds what it needs and adds up.

test: deps
	@tools/run-tests

unit functional: all tests
	@tools/run-tests $@

# What is about Kubernetes, and the unit tests.
ut: all tests
	@tools/run-tests unit kube

# IMAGE_PREFIX=registry.example.com/x/ goes in front of the names.
image:
	@IMAGE_PREFIX="$(IMAGE_PREFIX)" IMAGE_TOOL="$(IMAGE_TOOL)" \
	    tools/build-image

# The samples and what became of it: bench/out/soak.csv, bench/README.md.
MINUTES ?= 2

soak: all
	@mkdir -p bench/out
	@SOAK_SECONDS=$$(($(MINUTES) * 60)) SOAK_CSV=$(CURDIR)/bench/out/soak.csv \
	    tools/run-tests soak

# A capture that lives longer than its token, as long as both do in earnest.
RIGHTS_SECONDS ?= 400

rights: all
	@RIGHTS_SECONDS=$(RIGHTS_SECONDS) prove nginx-tests/rights.t

# FUZZ_SECONDS of processor time each, or MINUTES of it.
fuzz: fuzzers
	@FUZZ_CSV=bench/out/fuzz.csv tools/run-fuzz \
	    $(if $(filter-out file,$(origin MINUTES)),$$(($(MINUTES) \
	    * 60)),$(FUZZ_SECONDS)) $(notdir $(FUZZERS))

bench: all benches
	@bench/run

interop: deps-demo all
	@interop/run


# What a capture of 10 GiB costs in memory, which takes 12 GB of disk.
large: all
	@STORE_MIB=10240 prove -v nginx-tests/store_large.t

# Static checks. clang-tidy needs nginx's headers as `module` configured them.

lint: lint-style lint-scripts lint-cppcheck lint-tidy

lint-style:
	@tools/checkstyle

lint-scripts:
	@tools/lint-scripts

lint-cppcheck:
	@tools/lint-c cppcheck

lint-tidy: module
	@tools/lint-c tidy


# Root is asked for first: building for nothing would be rude.

demo demo-up:
	@demo/run may
	@tools/deps demo
	@$(MAKE) --no-print-directory all
	@demo/run $(if $(filter demo-up,$@),up)

demo-down:
	@demo/run down


# Laid out as here, so that what documents say of each other stays true.
DOCDIR = $(DESTDIR)$(PREFIX)/share/doc/pcap-api

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin \
	    $(DESTDIR)$(NGINX_MODULES_DIR) $(DOCDIR)/docs \
	    $(DOCDIR)/examples $(DOCDIR)/bosh
	install -m 755 $(B)/pcap-agent $(B)/pcap-store \
	    $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 $(B)/pcap-cli $(DESTDIR)$(PREFIX)/bin/
	ln -sf pcap-cli $(DESTDIR)$(PREFIX)/bin/bosh-pcap
	install -m 644 $(B)/ngx_pcap_api_module.so \
	    $(DESTDIR)$(NGINX_MODULES_DIR)/
	install -m 644 README.md $(DOCDIR)/
	install -m 644 bosh/README.md $(DOCDIR)/bosh/
	install -m 644 docs/*.* $(DOCDIR)/docs/
	install -m 644 examples/*.* $(DOCDIR)/examples/
	install -m 755 examples/make-keys $(DOCDIR)/examples/
	set -e; for m in $(wildcard docs/man/*.[1-8]); do \
	    d=$(DESTDIR)$(PREFIX)/share/man/man$${m##*.}; \
	    install -d $$d; install -m 644 $$m $$d/; \
	done


clean:
	rm -rf build demo/out bench/out interop/out
