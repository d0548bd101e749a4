/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over every file of the folders named: how corpora are replayed where
 * libFuzzer is not linked.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return 0;
    }
    static uint8_t bytes[1 << 20];
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    (void)fclose(f);
    /* A heap copy of the exact size, so that AddressSanitizer sees the first octet read too far. */
    uint8_t *copy = malloc(n == 0 ? 1 : n);
    if (copy == NULL) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        copy[i] = bytes[i];
    }
    (void)LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    return 1;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        struct dirent *entry;
        while (dir != NULL && (entry = readdir(dir)) != NULL) {
            char path[4096];
            (void)snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
            count += entry->d_name[0] == '.' ? 0 : replay_file(path);
        }
        if (dir != NULL) {
            (void)closedir(dir);
        }
    }
    (void)printf("replayed %d files\n", count);
    return count > 0 ? 0 : 1;
}
