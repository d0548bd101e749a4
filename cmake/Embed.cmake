# SPDX-License-Identifier: Apache-2.0
# Turns the file IN into OUT.c and OUT.h: sm_descriptor_set and its length.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," octets "${hex}")
file(WRITE ${OUT}.h "#pragma once
#include <stddef.h>
#include <stdint.h>
extern const uint8_t sm_descriptor_set[];
extern const size_t sm_descriptor_set_len;
")
file(WRITE ${OUT}.c "#include \"descriptors.h\"
const uint8_t sm_descriptor_set[] = {${octets}};
const size_t sm_descriptor_set_len = sizeof(sm_descriptor_set);
")
