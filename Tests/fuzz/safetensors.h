/* Mutations that know what a safetensors file is: the header changes and its length follows, a number of it becomes an
 * awkward one, an element becomes NaN or -1 or 2^62. The checksum is made right again, as no chance would. */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* XXH64 with seed 0, as published with xxHash. */
#define XXH1 0x9E3779B185EBCA87ull
#define XXH2 0xC2B2AE3D27D4EB4Full
#define XXH3 0x165667B19E3779F9ull
#define XXH4 0x85EBCA77C2B2AE63ull
#define XXH5 0x27D4EB2F165667C5ull

static inline uint64_t rotated(uint64_t x, int by) { return x << by | x >> (64 - by); }
static inline uint64_t xxh_round(uint64_t lane, uint64_t word) { return rotated(lane + word * XXH2, 31) * XXH1; }

static inline uint64_t xxh64(const uint8_t *bytes, size_t size)
{
    uint64_t hash, lane[4] = {XXH1 + XXH2, XXH2, 0, 0 - XXH1}, word;
    const uint8_t *end = bytes + size;
    int i;
    if (size >= 32) {
        for (; end - bytes >= 32; bytes += 32)
            for (i = 0; i < 4; i++) {
                memcpy(&word, bytes + 8 * i, 8);
                lane[i] = xxh_round(lane[i], word);
            }
        hash = rotated(lane[0], 1) + rotated(lane[1], 7) + rotated(lane[2], 12) + rotated(lane[3], 18);
        for (i = 0; i < 4; i++) hash = (hash ^ xxh_round(0, lane[i])) * XXH1 + XXH4;
    } else hash = XXH5;
    hash += size;
    for (; end - bytes >= 8; bytes += 8) {
        memcpy(&word, bytes, 8);
        hash = rotated(hash ^ xxh_round(0, word), 27) * XXH1 + XXH4;
    }
    if (end - bytes >= 4) {
        uint32_t half;
        memcpy(&half, bytes, 4);
        hash = rotated(hash ^ half * XXH1, 23) * XXH2 + XXH3;
        bytes += 4;
    }
    for (; bytes < end; bytes++) hash = rotated(hash ^ *bytes * XXH5, 11) * XXH1;
    hash = (hash ^ hash >> 33) * XXH2;
    hash = (hash ^ hash >> 29) * XXH3;
    return hash ^ hash >> 32;
}

/* Writes the length and the checksum that belong to what is there. */
static inline void seal(uint8_t *data, size_t size, uint64_t header)
{
    char digits[17];
    uint8_t *found = memmem(data + 8, header, "xxh64:", 6);
    memcpy(data, &header, 8);
    if (found == NULL || found + 22 > data + 8 + header) return;
    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)xxh64(data + 8 + header, size - 8 - header));
    memcpy(found + 6, digits, 16);
}

/* Puts `length` bytes in the place of the `old` at `at`; the rest moves. Returns the new size, or 0. */
static inline size_t replace(uint8_t *data, size_t size, size_t max_size, size_t at, size_t old, const void *by, size_t length)
{
    if (size - old + length > max_size) return 0;
    memmove(data + at + length, data + at + old, size - at - old);
    memcpy(data + at, by, length);
    return size - old + length;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const char *const numbers[] = {
        "0", "1", "-1", "2", "3", "4", "8", "64", "4294967296", "9223372036854775807", "9223372036854775808", "1.0", "1e3",
        "[]", "null"};
    static const int64_t words[] = {0, 1, -1, 4, 7, 1ll << 53, (1ll << 53) + 1, 1ll << 62, INT64_MAX, INT64_MIN, 1ll << 32};
    static const uint32_t floats[] = {0, 0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff, 0x00000001, 0xbf800000, 0x7149f2ca};
    uint64_t header;
    size_t body, i, n = 0, grown;
    if (size < 8 || max_size < size || seed % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
    memcpy(&header, data, 8);
    if (header > size - 8 || header == 0) return LLVMFuzzerMutate(data, size, max_size);
    body = size - 8 - (size_t)header;
    seed /= 16;
    switch (seed % 4) {
    case 0: { /* anything in the header */
        static uint8_t text[1 << 16];
        if (header > sizeof text) return LLVMFuzzerMutate(data, size, max_size);
        memcpy(text, data + 8, header);
        n = max_size - 8 - body;
        n = LLVMFuzzerMutate(text, header, n < sizeof text ? n : sizeof text);
        size = replace(data, size, max_size, 8, header, text, n);
        header = n;
        break;
    }
    case 1: /* a number of the header */
        for (i = 0; i < header; i++) n += data[8 + i] >= '0' && data[8 + i] <= '9';
        if (n == 0) break;
        n = seed / 4 % n;
        for (i = 8; n > 0 || data[i] < '0' || data[i] > '9'; i++) n -= data[i] >= '0' && data[i] <= '9';
        for (n = 0; i + n < 8 + header && data[i + n] >= '0' && data[i + n] <= '9'; n++) {}
        {
            const char *by = numbers[(seed >> 10) % (sizeof numbers / sizeof *numbers)];
            grown = replace(data, size, max_size, i, n, by, strlen(by));
            if (grown > 0) {
                header = header - n + strlen(by);
                size = grown;
            }
        }
        break;
    case 2: /* an element: the integers and doubles come first in the file, then floats */
        if (body < 8) break;
        i = 8 + (size_t)header + seed / 4 % (body / 8) * 8;
        if ((seed >> 8) % 2) i = 8 + (size_t)header + seed / 4 % 32 % (body / 8) * 8;
        if ((seed >> 9) % 2) memcpy(data + i, &words[(seed >> 10) % (sizeof words / sizeof *words)], 8);
        else memcpy(data + i, &floats[(seed >> 10) % (sizeof floats / sizeof *floats)], 4);
        break;
    default: /* anything in the data */
        if (body > 0) LLVMFuzzerMutate(data + 8 + header, body, body);
    }
    seal(data, size, header);
    return size;
}

#endif
