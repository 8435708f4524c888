# libnested: `make` builds build/lib/libnested.so, `make demo` shows what it does, `make test` tests everything.
#
# SwiftPM compiles and links the library (Package.swift says how); this file installs what is missing, strips
# the result into build/lib under its three names, and runs what is not Swift. There are no debug builds.

VERSION := 1.0.0
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
DESTDIR ?=
# suites of `make test`; empty: all
SUITES  ?=
# the two texts of `make demo`; empty: the system's licences, and Python's standard library
TEXT    ?=
STREAM  ?=
# `make bench`: where to write what it prints, and whether to compare with a peer
OUTPUT  ?=
PEERS   ?=

SWIFT  ?= swift
BUILD  := $(CURDIR)/.build
OUT    := $(CURDIR)/build
LINKED := $(BUILD)/release/libnested.so
LIB    := $(OUT)/lib/libnested.so.$(VERSION)
VENV   := $(BUILD)/venv
ARCH   := $(shell uname -m)
STATIC := /usr/lib/$(ARCH)-linux-gnu
NESTED_OPENBLAS ?= $(STATIC)/openblas-pthread/libopenblas.a
NESTED_JANSSON  ?= $(STATIC)/libjansson.a
export NESTED_OPENBLAS NESTED_JANSSON

.PHONY: all lib cli manual demo test bench ablation reproduce install uninstall dist doc clean format needs-build needs-test needs-demo
.DEFAULT_GOAL := all

all: lib

# ---- what the machine must have -------------------------------------------------------------------------

# $(call need,FILE-OR-COMMAND=DEBIAN-PACKAGE ...): installs the packages of what is not there.
define need
@set -e; missing=; \
for pair in $(1); do \
  what=$${pair%%=*}; package=$${pair##*=}; \
  case $$what in \
    /*) [ -e "$$what" ] || missing="$$missing $$package" ;; \
    *) command -v "$$what" >/dev/null 2>&1 || missing="$$missing $$package" ;; \
  esac; \
done; \
[ -n "$$missing" ] || exit 0; \
if ! command -v apt-get >/dev/null 2>&1; then \
  echo "libnested needs these Debian packages, or their like here:$$missing" >&2; \
  echo "There is no apt-get to install them with. Install them by hand, then run make again." >&2; exit 1; \
fi; \
if [ "$$(id -u)" -eq 0 ]; then root=; \
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then root=sudo; \
else \
  echo "libnested needs these packages:$$missing" >&2; \
  echo "Only root may install them: sudo apt-get install$$missing" >&2; exit 1; \
fi; \
echo "installing$$missing"; \
$$root apt-get update -qq && \
DEBIAN_FRONTEND=noninteractive $$root apt-get install -y -qq --no-install-recommends $$missing >/dev/null
endef

needs-build:
	@command -v $(SWIFT) >/dev/null 2>&1 || { \
	  echo "libnested needs the Swift 6.3 toolchain, which no Debian package has: https://www.swift.org/install" >&2; \
	  exit 1; }
	$(call need,$(NESTED_OPENBLAS)=libopenblas-pthread-dev $(NESTED_JANSSON)=libjansson-dev strip=binutils)

needs-test: needs-build needs-rust
	$(call need,gcc=gcc g++=g++ objdump=binutils python3=python3 pkg-config=pkg-config cmake=cmake \
	  abidiff=abigail-tools valgrind=valgrind doxygen=doxygen)
	@python3 -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory needs-venv
	@$(MAKE) --no-print-directory $(VENV)/ready

# Debian 12 has an old cargo, and a newer one under the name of cargo-web.
.PHONY: needs-rust needs-cargo needs-cargo-web
needs-rust:
	@command -v cargo >/dev/null 2>&1 || $(MAKE) --no-print-directory needs-cargo-web || \
	  $(MAKE) --no-print-directory needs-cargo
	@minor=$$(cargo --version | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p'); [ "$${minor:-0}" -ge 77 ] || { \
	  echo "The tests of bindings/rust need cargo 1.77 or later, and this is $$(cargo --version): https://rustup.rs" >&2; \
	  exit 1; }
needs-cargo:
	$(call need,cargo=cargo)
needs-cargo-web:
	$(call need,cargo=cargo-web)

.PHONY: needs-venv
needs-venv:
	$(call need,/no/ensurepip=python3-venv)

# What the Python tests import: a virtual environment of our own, so that the system's Python stays as it is.
$(VENV)/ready: Tests/requirements.txt
	@echo "preparing the Python of the tests in .build/venv"
	@python3 -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r Tests/requirements.txt
	@touch $@

# A Python with NumPy: the tests' own, the user's, or Debian's.
PYTHON = $(firstword $(foreach p,$(VENV)/bin/python python3 /usr/bin/python3,\
  $(shell $(p) -c 'import numpy' >/dev/null 2>&1 && echo $(p))))

needs-demo: needs-build
	$(if $(PYTHON),,$(call need,/usr/bin/python3=python3 /usr/lib/python3/dist-packages/numpy=python3-numpy))

# ---- the library ----------------------------------------------------------------------------------------

# SwiftPM knows what is out of date. The file it links keeps its symbols, for profilers and for the tests that
# look into it; what is installed is stripped.
lib: needs-build
	$(SWIFT) build -c release --product nested
	@mkdir -p $(OUT)/lib
	@if [ ! -e $(LIB) ] || [ $(LINKED) -nt $(LIB) ]; then \
	  strip --strip-unneeded -o $(LIB).new $(LINKED) && mv -f $(LIB).new $(LIB); \
	fi
	@ln -sf libnested.so.$(VERSION) $(OUT)/lib/libnested.so.1
	@ln -sf libnested.so.1 $(OUT)/lib/libnested.so

# ---- what it does ---------------------------------------------------------------------------------------

demo: needs-demo lib
	@NESTED_LIBRARY=$(OUT)/lib/libnested.so.1 PYTHONPATH=bindings/python \
	  $(or $(PYTHON),/usr/bin/python3) examples/python/demo.py \
	  $(if $(TEXT),--text '$(TEXT)') $(if $(STREAM),--stream '$(STREAM)')

test: needs-test cli
	@python3 Tests/run.py $(SUITES)

# What `make test` has a slice of (Tests/sanitize, Tests/fuzz): `make asan PROGRAMS="threads forks"` runs some programs,
# `make fuzz TIME=3600 TARGET=model_file` fuzzes one target for an hour.
TIME     ?= 60
TARGET   ?=
PROGRAMS ?=
.PHONY: asan tsan valgrind fuzz
asan tsan: needs-build
	@python3 Tests/sanitize/run.py $@ $(PROGRAMS)
valgrind: needs-test lib
	@python3 Tests/sanitize/run.py $@ $(PROGRAMS)
fuzz: needs-build
	@python3 Tests/fuzz/run.py fuzz $(TIME) $(TARGET)

# Clients of the library: their own build, linked with the library that would be installed, and Swift inside, so that
# they run where there is no Swift. $(call client,PRODUCT)
client = NESTED_LINK_FROM=$(OUT)/lib $(SWIFT) build -c release --static-swift-stdlib \
  --scratch-path $(BUILD)/clients --product $(1)

# The command line, its manual and its completions, where `make install` looks for them.
SHARE := $(OUT)/share
cli: lib
	$(call client,nested-cli)
	@mkdir -p $(OUT)/bin $(SHARE)/man/man1 $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions \
	  $(SHARE)/fish/vendor_completions.d
	@strip -o $(OUT)/bin/nested-cli.new $(BUILD)/clients/release/nested-cli && \
	  mv -f $(OUT)/bin/nested-cli.new $(OUT)/bin/nested-cli
	@cp Sources/nested-cli/nested-cli.1 $(SHARE)/man/man1/
	@cd $(SHARE) && for pair in bash=bash-completion/completions/nested-cli zsh=zsh/site-functions/_nested-cli \
	  fish=fish/vendor_completions.d/nested-cli.fish; do \
	  $(OUT)/bin/nested-cli --generate-completion-script $${pair%%=*} > $${pair#*=} || exit 1; \
	done

# After a change of its options.
manual: cli
	python3 Sources/nested-cli/manual.py $(OUT)/bin/nested-cli > $(BUILD)/nested-cli.1
	mv $(BUILD)/nested-cli.1 Sources/nested-cli/nested-cli.1

# `make bench BENCH="--only latency"` passes options on, OUTPUT=Sources/nested-bench renews the committed figures,
# PEERS=1 adds the comparison with another implementation, which it downloads.
bench: lib
	$(call client,nested-bench-load)
	$(call client,nested-bench)
	@$(BUILD)/clients/release/nested-bench $(BENCH) $(if $(OUTPUT),--output '$(OUTPUT)')
	$(if $(PEERS),@$(MAKE) --no-print-directory peers)

# `make bench-large`: a training step and decoding of the 340 M Hope, and the 1.3 B Hope loaded, mapped and decoded; needs 12 GB
# of memory and 6 GB of disk in TMPDIR. SIZES=hope-50m is a small run of the same.
SIZES ?= hope-340m hope-1.3b
.PHONY: bench-large
bench-large: lib
	@NESTED_LIB=$(OUT)/lib Sources/nested-bench/large/run.sh $(SIZES)

.PHONY: peers
peers: lib $(BUILD)/peers/ready
	@NESTED_LIBRARY=$(OUT)/lib/libnested.so.1 PYTHONPATH=bindings/python $(BUILD)/peers/bin/python \
	  Sources/nested-bench/peers.py $(if $(OUTPUT),--output '$(OUTPUT)')

# torch for processors alone, or where the index has no such build, torch. $(call torch,VENV)
torch = $(1)/bin/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0+cpu" 2>/dev/null || \
  $(1)/bin/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0"

$(BUILD)/peers/ready:
	@python3 -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory needs-venv
	@echo "preparing the Python of the comparison in .build/peers"
	@python3 -m venv $(BUILD)/peers
	@$(call torch,$(BUILD)/peers)
	@$(BUILD)/peers/bin/python -m pip install --quiet --disable-pip-version-check numpy "nested-learning==0.2.0"
	@touch $@

# `make test` compares with what other implementations computed once; this with themselves, which it downloads into an
# environment of their own (Tests/peers). FIXTURES=1 writes anew what `make test` has of them.
FIXTURES ?=
.PHONY: test-peers
test-peers: lib $(BUILD)/test-peers/ready
	$(if $(FIXTURES),@NESTED_PEERS=1 $(BUILD)/test-peers/bin/python Tests/peers/make_fixtures.py)
	@NESTED_PEERS=1 python3 Tests/run.py peers

$(BUILD)/test-peers/ready: Tests/peers/requirements.txt Tests/peers/without_dependencies.txt
	@python3 -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory needs-venv
	@echo "preparing the Python of the peers in .build/test-peers"
	@python3 -m venv --clear $(BUILD)/test-peers
	@$(call torch,$(BUILD)/test-peers)
	@$(BUILD)/test-peers/bin/python -m pip install --quiet --disable-pip-version-check -r Tests/peers/requirements.txt
	@$(BUILD)/test-peers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  -r Tests/peers/without_dependencies.txt
	@touch $@

ablation: needs-demo lib
	@NESTED_LIBRARY=$(OUT)/lib/libnested.so.1 PYTHONPATH=bindings/python \
	  $(or $(PYTHON),/usr/bin/python3) examples/python/ablation.py $(ABLATION)

# Long default runs of every kind: `make soak SOAK="--minutes 60 --only titans"`.
.PHONY: soak
soak: needs-demo lib
	@NESTED_LIBRARY=$(OUT)/lib/libnested.so.1 PYTHONPATH=bindings/python \
	  $(or $(PYTHON),/usr/bin/python3) Tests/soak/soak.py $(SOAK)

# Experiments beside the papers' tables: `make reproduce-lm DATA=folder REPRODUCE="--seeds 5"`.
reproduce: reproduce-lm reproduce-recall reproduce-optimizers reproduce-defaults
reproduce-%: needs-demo lib
	@NESTED_LIBRARY=$(OUT)/lib/libnested.so.1 PYTHONPATH=bindings/python \
	  $(or $(PYTHON),/usr/bin/python3) examples/python/reproduce/$*.py $(REPRODUCE)

format:
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests

# ---- installing -----------------------------------------------------------------------------------------

TO := $(DESTDIR)$(PREFIX)
TOLIB := $(DESTDIR)$(LIBDIR)
# What nested.pc calls its prefix; `make dist` says where that is from the file itself.
PC_PREFIX ?= $(PREFIX)
FILL = sed -e 's|@PREFIX@|$(PC_PREFIX)|' -e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
  -e 's|@VERSION@|$(VERSION)|' -e "s|@INCLUDE@|$$(realpath -ms --relative-to=$(LIBDIR) $(PREFIX)/include)|"
# The command line and what belongs to it, where `make cli` has made them.
CLI := bin/nested-cli share/man/man1/nested-cli.1 share/bash-completion/completions/nested-cli \
  share/zsh/site-functions/_nested-cli share/fish/vendor_completions.d/nested-cli.fish

# BUILT=1 takes what is in build/ as it is: for `sudo make install`, and for tests.
install: $(if $(BUILT),,lib)
	install -d $(TOLIB)/pkgconfig $(TOLIB)/cmake/nested $(TO)/include $(TO)/share/doc/libnested
	install -m 755 $(LIB) $(TOLIB)/libnested.so.$(VERSION)
	ln -sf libnested.so.$(VERSION) $(TOLIB)/libnested.so.1
	ln -sf libnested.so.1 $(TOLIB)/libnested.so
	install -m 644 include/nested.h bindings/c/nested.hpp $(TO)/include/
	$(FILL) bindings/c/nested.pc.in > $(TOLIB)/pkgconfig/nested.pc
	$(FILL) bindings/c/nested-config.cmake.in > $(TOLIB)/cmake/nested/nested-config.cmake
	$(FILL) bindings/c/nested-config-version.cmake.in > $(TOLIB)/cmake/nested/nested-config-version.cmake
	install -m 644 LICENSE NOTICE SECURITY.md $(TO)/share/doc/libnested/
	@set -e; for file in $(CLI); do \
	  [ -e $(OUT)/$$file ] || continue; \
	  case $$file in bin/*) mode=755 ;; *) mode=644 ;; esac; \
	  install -v -D -m $$mode $(OUT)/$$file $(TO)/$$file; \
	done
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" -eq 0 ] && command -v ldconfig >/dev/null 2>&1; then ldconfig; fi

uninstall:
	rm -f $(TOLIB)/libnested.so $(TOLIB)/libnested.so.1 $(TOLIB)/libnested.so.$(VERSION)
	rm -f $(TO)/include/nested.h $(TO)/include/nested.hpp $(TOLIB)/pkgconfig/nested.pc
	rm -f $(addprefix $(TO)/,$(CLI))
	rm -rf $(TOLIB)/cmake/nested $(TO)/share/doc/libnested

# A tarball that works where it is unpacked, without a build. The same sources and tools give the same bytes: names in
# order, nobody's files, one time (that of the commit).
DIST := libnested-$(VERSION)-linux-$(ARCH)
STAGE := $(BUILD)/dist/$(DIST)
SOURCE_DATE_EPOCH ?= $(or $(shell git -C $(CURDIR) log -1 --format=%ct 2>/dev/null),315532800)
dist: $(if $(BUILT),,cli)
	@rm -rf $(BUILD)/dist
	@$(MAKE) --no-print-directory install BUILT=1 DESTDIR=$(STAGE) PREFIX= LIBDIR=/lib \
	  PC_PREFIX='$$$${pcfiledir}/../..' >/dev/null
	@cp LICENSE NOTICE SECURITY.md README.md CHANGELOG.md $(STAGE)/ && rm -r $(STAGE)/share/doc
	@mkdir $(STAGE)/python && cd bindings/python && cp --parents nested/*.py nested/py.typed README.md $(STAGE)/python/
	@ln -s ../../lib/libnested.so.1 $(STAGE)/python/nested/libnested.so.1
	@mkdir $(STAGE)/examples && cp -r examples/c examples/cpp examples/python $(STAGE)/examples/
	@find $(STAGE) -name __pycache__ -prune -exec rm -r {} +
	@cd $(BUILD)/dist && tar --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
	  --mtime=@$(SOURCE_DATE_EPOCH) -cf - $(DIST) | gzip -n -6 > $(OUT)/$(DIST).tar.gz
	@rm -r $(BUILD)/dist
	@echo "$(OUT)/$(DIST).tar.gz"

# The manual of the C and C++ interfaces, out of the headers.
doc:
	$(call need,doxygen=doxygen python3=python3)
	@mkdir -p $(OUT)/doc
	@NESTED_DOC=$(OUT)/doc doxygen bindings/c/Doxyfile
	@echo "$(OUT)/doc/c/index.html"

clean:
	rm -rf $(BUILD) $(OUT)
