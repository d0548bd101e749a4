# SPDX-License-Identifier: Apache-2.0
# Third-party libraries. What is in the private prefix (made by tools/setup where the distribution is too old) goes before
# the system's.

find_package(PkgConfig REQUIRED)
set(SM_PREFIX ${CMAKE_SOURCE_DIR}/.prefix)
if(EXISTS ${SM_PREFIX}/stamp)
    set(ENV{PKG_CONFIG_PATH} ${SM_PREFIX}/lib/pkgconfig:$ENV{PKG_CONFIG_PATH})
    set(SM_PREFIX_LIBS ${SM_PREFIX}/lib)
    set(CMAKE_BUILD_RPATH ${SM_PREFIX_LIBS})
    set(CMAKE_INSTALL_RPATH ${SM_PREFIX_LIBS})
    # Before every other include path: the system's openssl headers may be there too.
    include_directories(BEFORE SYSTEM ${SM_PREFIX}/include)
    link_directories(BEFORE ${SM_PREFIX_LIBS})
endif()

pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET libssl>=3.5 libcrypto>=3.5)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing>=2.3)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2>=1.52)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(P11_KIT REQUIRED IMPORTED_TARGET p11-kit-1)
pkg_check_modules(JEMALLOC IMPORTED_TARGET jemalloc)
pkg_check_modules(GSSAPI IMPORTED_TARGET krb5-gssapi>=1.19) # that takes clients without a channel binding beside those with one
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)

find_library(LLHTTP_LIBRARY NAMES llhttp HINTS ${SM_PREFIX_LIBS} REQUIRED)
find_library(ROCKSDB_LIBRARY NAMES rocksdb REQUIRED)
find_library(CRYPTO_MB_LIBRARY NAMES crypto_mb HINTS ${SM_PREFIX_LIBS})
find_path(CRYPTO_MB_INCLUDE crypto_mb/ec_nistp256.h HINTS ${SM_PREFIX}/include)
find_package(Threads REQUIRED)

# What each folder links besides its floor.
set(SM_LIBS_base Threads::Threads)
set(SM_LIBS_proto PkgConfig::PROTOBUF_C PkgConfig::JANSSON PkgConfig::YAML PkgConfig::ZLIB)
set(SM_LIBS_io PkgConfig::URING PkgConfig::OPENSSL PkgConfig::NGHTTP2 ${LLHTTP_LIBRARY})
set(SM_LIBS_store ${ROCKSDB_LIBRARY})
set(SM_LIBS_sign PkgConfig::OPENSSL PkgConfig::P11_KIT)
set(SM_LIBS_api PkgConfig::PROTOBUF_C)
set(SM_LIBS_ocsp-cache)
option(SM_GSSAPI "HTTP Negotiate, where libgssapi_krb5 is there" ON)
if(SM_GSSAPI AND GSSAPI_FOUND)
    set(SM_HAVE_GSSAPI ON)
    list(APPEND SM_LIBS_api PkgConfig::GSSAPI)
endif()
if(CRYPTO_MB_LIBRARY AND CRYPTO_MB_INCLUDE)
    set(SM_HAVE_CRYPTO_MB ON)
    list(APPEND SM_LIBS_sign ${CRYPTO_MB_LIBRARY})
endif()
