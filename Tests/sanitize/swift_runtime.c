/* What the Swift runtime does and ThreadSanitizer cannot see, because the runtime comes without instrumentation:
 *   - swift_once: what an initializer wrote is visible to whoever comes later,
 *   - reference counts: everything that other threads did before they let go of an object happens before its deinit,
 *     and before a change in place by a thread that finds itself the only owner.
 * Linked into the instrumented library with --wrap, compiled without instrumentation itself. It adds no more order
 * than the runtime does: a release orders nothing unless it is the last. */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);

size_t swift_retainCount(void *object);
void __real_swift_once(void *token, void (*body)(void *), void *context);
void __real_swift_release(void *object);
void __real_swift_release_n(void *object, uint32_t n);
_Bool __real_swift_isUniquelyReferenced_native(void *object);
_Bool __real_swift_isUniquelyReferenced_nonNull_native(void *object);
_Bool __real_swift_isUniquelyReferenced_nonNull_bridgeObject(uintptr_t bits);

typedef struct {
    void *token;
    void (*body)(void *);
    void *context;
} once;

static void run_once(void *words)
{
    once *o = words;
    o->body(o->context);
    __tsan_release(o->token);
}

void __wrap_swift_once(void *token, void (*body)(void *), void *context)
{
    once o = {token, body, context};
    __real_swift_once(token, run_once, &o);
    __tsan_acquire(token);
}

/* Releases of one object one at a time, so that the last one is known to be it before it happens. */
static atomic_flag locks[1024];
static atomic_flag *lock_of(void *object) { return &locks[(uintptr_t)object / 16 % 1024]; }

/* Small values live in object pointers too, marked by the highest bits; the runtime leaves them alone. */
static int is_object(void *object) { return object != NULL && (uintptr_t)object >> 56 == 0; }

/* Whether the lock is held: not for the last release, which may run any code. */
static int before_release(void *object, uint32_t n)
{
    atomic_flag *lock = lock_of(object);
    if (!is_object(object)) return 0;
    while (atomic_flag_test_and_set(lock)) {}
    if (swift_retainCount(object) > n) {
        __tsan_release(object);
        return 1;
    }
    atomic_flag_clear(lock);
    __tsan_acquire(object);
    return 0;
}

void __wrap_swift_release_n(void *object, uint32_t n)
{
    int held = before_release(object, n);
    __real_swift_release_n(object, n);
    if (held) atomic_flag_clear(lock_of(object));
}

void __wrap_swift_release(void *object)
{
    int held = before_release(object, 1);
    __real_swift_release(object);
    if (held) atomic_flag_clear(lock_of(object));
}

_Bool __wrap_swift_isUniquelyReferenced_native(void *object)
{
    _Bool only = __real_swift_isUniquelyReferenced_native(object);
    if (only && is_object(object)) __tsan_acquire(object);
    return only;
}

_Bool __wrap_swift_isUniquelyReferenced_nonNull_native(void *object)
{
    _Bool only = __real_swift_isUniquelyReferenced_nonNull_native(object);
    if (only && is_object(object)) __tsan_acquire(object);
    return only;
}

_Bool __wrap_swift_isUniquelyReferenced_nonNull_bridgeObject(uintptr_t bits)
{
    _Bool only = __real_swift_isUniquelyReferenced_nonNull_bridgeObject(bits);
    if (only) __tsan_acquire((void *)(bits & 0x0FFFFFFFFFFFFFF8));
    return only;
}
