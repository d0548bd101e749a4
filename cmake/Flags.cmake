# SPDX-License-Identifier: Apache-2.0
# Compiler and linker flags of every target: the interface library sm_flags.

add_library(sm_flags INTERFACE)
target_compile_definitions(sm_flags INTERFACE _GNU_SOURCE)
set(SM_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
    -Wcast-qual -Wwrite-strings -Wformat=2 -Wvla -Wundef -Wimplicit-fallthrough)
if(SM_WERROR)
    list(APPEND SM_WARNINGS -Werror)
endif()
target_compile_options(sm_flags INTERFACE ${SM_WARNINGS} -fno-omit-frame-pointer -g)

# DT_RPATH, not DT_RUNPATH: libraries that our libraries pull in must find the private libcrypto too.
target_link_options(sm_flags INTERFACE -Wl,--disable-new-dtags -Wl,--as-needed)

if(SM_HARDEN)
    target_compile_options(sm_flags INTERFACE -fstack-protector-strong -fcf-protection
        -ftrivial-auto-var-init=zero)
    target_compile_definitions(sm_flags INTERFACE _FORTIFY_SOURCE=2)
    target_link_options(sm_flags INTERFACE -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack)
endif()
if(SM_LTO)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
endif()
if(SM_SANITIZE)
    target_compile_options(sm_flags INTERFACE -fsanitize=${SM_SANITIZE} -O1)
    target_link_options(sm_flags INTERFACE -fsanitize=${SM_SANITIZE})
    if(SM_SANITIZE MATCHES undefined)
        target_compile_options(sm_flags INTERFACE -fno-sanitize-recover=undefined)
    endif()
endif()
if(SM_FUZZ)
    target_compile_options(sm_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(SM_COVERAGE)
    target_compile_options(sm_flags INTERFACE --coverage -O0)
    target_link_options(sm_flags INTERFACE --coverage)
endif()
