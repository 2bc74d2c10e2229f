// A CUDA runtime without a device: it keeps count of memory, and refuses what a cut pointer or size would be.
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define INVALID 1
#define NO_MEMORY 2
#define MOST 64

static const size_t total = (size_t)64 << 30;
static size_t used;
static struct { char *start; size_t size; } blocks[MOST];

static int find(const char *pointer, size_t size) {
    for (int i = 0; i < MOST; i++)
        if (blocks[i].start && pointer == blocks[i].start && size <= blocks[i].size) return i;
    return -1;
}

// Nothing is written before it is used, so that sizes beyond 32 bits cost no memory.
int cudaMalloc(void **pointer, size_t size) {
    if (size > total - used) return NO_MEMORY;
    for (int i = 0; i < MOST; i++) {
        if (blocks[i].start) continue;
        void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (start == MAP_FAILED) return NO_MEMORY;
        blocks[i].start = start;
        blocks[i].size = size;
        used += size;
        *pointer = start;
        return 0;
    }
    return NO_MEMORY;
}

int cudaFree(void *pointer) {
    int i = find(pointer, 0);
    if (i < 0) return INVALID;
    munmap(blocks[i].start, blocks[i].size);
    used -= blocks[i].size;
    blocks[i].start = NULL;
    return 0;
}

int cudaMemcpy(void *to, const void *from, size_t size, int kind) {
    if (kind != 1 && kind != 2) return INVALID;
    if (find(kind == 1 ? to : from, size) < 0) return INVALID;
    memcpy(to, from, size);
    return 0;
}

int cudaMemGetInfo(size_t *unused, size_t *all) {
    *unused = total - used;
    *all = total;
    return 0;
}

int cudaGetDeviceCount(int *count) {
    *count = 1;
    return 0;
}

int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    if (device != 0) return INVALID;
    *value = attribute == 75 ? 5 : attribute == 76 ? 3 : -1;
    return 0;
}

int cudaRuntimeGetVersion(int *version) {
    *version = 10020;
    return 0;
}

const char *cudaGetErrorString(int code) {
    return code == INVALID ? "invalid argument" : code == NO_MEMORY ? "out of memory" : "unknown error";
}
