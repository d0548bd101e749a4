# SPDX-License-Identifier: Apache-2.0
# protobuf-c code and the descriptor set, generated at build into build/<preset>/gen.

find_program(PROTOC protoc REQUIRED)
find_program(PROTOC_C NAMES protoc-c REQUIRED)
pkg_get_variable(PROTOBUF_PREFIX libprotobuf-c prefix)
find_path(PROTOBUF_IMPORTS google/protobuf/any.proto HINTS ${PROTOBUF_PREFIX}/include REQUIRED)

set(SM_GEN ${CMAKE_BINARY_DIR}/gen)
file(MAKE_DIRECTORY ${SM_GEN})
set(SM_WELL_KNOWN google/protobuf/any.proto google/protobuf/timestamp.proto google/protobuf/duration.proto
    google/protobuf/descriptor.proto)

function(sm_proto_library)
    set(root ${CMAKE_SOURCE_DIR}/proto)
    file(GLOB_RECURSE protos RELATIVE ${root} CONFIGURE_DEPENDS ${root}/*.proto)
    set(sources)
    foreach(proto IN LISTS protos SM_WELL_KNOWN)
        string(REGEX REPLACE "\\.proto$" "" stem ${proto})
        set(path ${root}/${proto})
        if(NOT EXISTS ${path})
            set(path ${PROTOBUF_IMPORTS}/${proto})
        endif()
        add_custom_command(
            OUTPUT ${SM_GEN}/${stem}.pb-c.c ${SM_GEN}/${stem}.pb-c.h
            COMMAND ${PROTOC_C} --c_out=${SM_GEN} -I${root} -I${PROTOBUF_IMPORTS} ${path}
            DEPENDS ${path}
            VERBATIM)
        list(APPEND sources ${SM_GEN}/${stem}.pb-c.c)
    endforeach()
    list(TRANSFORM protos PREPEND ${root}/ OUTPUT_VARIABLE proto_paths)
    add_custom_command(
        OUTPUT ${SM_GEN}/descriptors.bin
        COMMAND ${PROTOC} -I${root} -I${PROTOBUF_IMPORTS} --include_imports
                --descriptor_set_out=${SM_GEN}/descriptors.bin ${protos}
        DEPENDS ${proto_paths}
        VERBATIM)
    add_custom_command(
        OUTPUT ${SM_GEN}/descriptors.c ${SM_GEN}/descriptors.h
        COMMAND ${CMAKE_COMMAND} -DIN=${SM_GEN}/descriptors.bin -DOUT=${SM_GEN}/descriptors
                -P ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
        DEPENDS ${SM_GEN}/descriptors.bin ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
        VERBATIM)
    list(APPEND sources ${SM_GEN}/descriptors.c)
    # Generated code is not ours to warn about.
    add_library(sm_gen STATIC ${sources})
    target_include_directories(sm_gen SYSTEM PUBLIC ${SM_GEN})
    target_link_libraries(sm_gen PUBLIC PkgConfig::PROTOBUF_C)
    target_compile_options(sm_gen PRIVATE -w)
    if(SM_SANITIZE)
        target_compile_options(sm_gen PRIVATE -fsanitize=${SM_SANITIZE})
    endif()
    set(SM_LIBS_proto sm_gen ${SM_LIBS_proto})
    sm_library(proto)
endfunction()
