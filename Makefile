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

.PHONY: all lib demo test bench ablation install uninstall clean format needs-build needs-test needs-demo
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

needs-test: needs-build
	$(call need,gcc=gcc g++=g++ objdump=binutils python3=python3 pkg-config=pkg-config cmake=cmake)
	@python3 -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory needs-venv
	@$(MAKE) --no-print-directory $(VENV)/ready

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

test: needs-test lib
	@python3 Tests/run.py $(SUITES)

# The benchmarks are clients: their own build, linked with the library that would be installed.
# `make bench BENCH="--only latency"` passes options on, OUTPUT=Sources/nested-bench renews the committed figures,
# PEERS=1 adds the comparison with another implementation, which it downloads.
bench: lib
	NESTED_LINK_FROM=$(OUT)/lib $(SWIFT) build -c release --scratch-path $(BUILD)/bench --product nested-bench-load
	NESTED_LINK_FROM=$(OUT)/lib $(SWIFT) build -c release --scratch-path $(BUILD)/bench --product nested-bench
	@$(BUILD)/bench/release/nested-bench $(BENCH) $(if $(OUTPUT),--output '$(OUTPUT)')
	$(if $(PEERS),@$(MAKE) --no-print-directory peers)

.PHONY: peers
peers: lib $(BUILD)/peers/ready
	@NESTED_LIBRARY=$(OUT)/lib/libnested.so.1 PYTHONPATH=bindings/python $(BUILD)/peers/bin/python \
	  Sources/nested-bench/peers.py $(if $(OUTPUT),--output '$(OUTPUT)')

$(BUILD)/peers/ready:
	@python3 -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory needs-venv
	@echo "preparing the Python of the comparison in .build/peers"
	@python3 -m venv $(BUILD)/peers
	@$(BUILD)/peers/bin/python -m pip install --quiet --disable-pip-version-check numpy "torch==2.13.0+cpu" || \
	  $(BUILD)/peers/bin/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0" \
	    --index-url https://download.pytorch.org/whl/cpu
	@$(BUILD)/peers/bin/python -m pip install --quiet --disable-pip-version-check "nested-learning==0.2.0"
	@touch $@

ablation: needs-demo lib
	@NESTED_LIBRARY=$(OUT)/lib/libnested.so.1 PYTHONPATH=bindings/python \
	  $(or $(PYTHON),/usr/bin/python3) examples/python/ablation.py $(ABLATION)

format:
	$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests

# ---- installing -----------------------------------------------------------------------------------------

TO := $(DESTDIR)$(PREFIX)
TOLIB := $(DESTDIR)$(LIBDIR)
FILL = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@VERSION@|$(VERSION)|g'

install: lib
	install -d $(TOLIB)/pkgconfig $(TOLIB)/cmake/nested $(TO)/include $(TO)/share/doc/libnested
	install -m 755 $(LIB) $(TOLIB)/libnested.so.$(VERSION)
	ln -sf libnested.so.$(VERSION) $(TOLIB)/libnested.so.1
	ln -sf libnested.so.1 $(TOLIB)/libnested.so
	install -m 644 include/nested.h $(TO)/include/nested.h
	$(FILL) bindings/c/nested.pc.in > $(TOLIB)/pkgconfig/nested.pc
	$(FILL) bindings/c/nested-config.cmake.in > $(TOLIB)/cmake/nested/nested-config.cmake
	$(FILL) bindings/c/nested-config-version.cmake.in > $(TOLIB)/cmake/nested/nested-config-version.cmake
	install -m 644 LICENSE NOTICE $(TO)/share/doc/libnested/
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" -eq 0 ] && command -v ldconfig >/dev/null 2>&1; then ldconfig; fi

uninstall:
	rm -f $(TOLIB)/libnested.so $(TOLIB)/libnested.so.1 $(TOLIB)/libnested.so.$(VERSION)
	rm -f $(TO)/include/nested.h $(TOLIB)/pkgconfig/nested.pc
	rm -rf $(TOLIB)/cmake/nested $(TO)/share/doc/libnested

clean:
	rm -rf $(BUILD) $(OUT)
