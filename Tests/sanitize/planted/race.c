/* A race in the library, planted from outside: mutexes of this program do not lock while two threads feed one session.
 * `race` must be reported, `race none` must not. */
#include "../../c/check.h"

#include <pthread.h>

static int unlocked;

#define PASS(name) \
    int __interceptor_##name(pthread_mutex_t *mutex); \
    int name(pthread_mutex_t *mutex) { return unlocked ? 0 : __interceptor_##name(mutex); }
PASS(pthread_mutex_lock)
PASS(pthread_mutex_trylock)
PASS(pthread_mutex_unlock)

static void *feed(void *session)
{
    int32_t text[8];
    int i;
    fill_tokens(text, 8, 1);
    for (i = 0; i < 50; i++) OK(nested_session_feed(session, text, 8, NULL, NULL, NULL));
    return NULL;
}

int main(int argc, char **argv)
{
    nested_context *context = make_context(1);
    nested_model *model = make_model(context, 1);
    nested_session *session = make_session(model, NESTED_LEARN_MEMORY);
    pthread_t threads[2];
    int i;
    feed(session); /* what is made once has been made */
    unlocked = argc < 2 || strcmp(argv[1], "none") != 0;
    for (i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, feed, session) == 0);
    for (i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    unlocked = 0;
    nested_session_release(session);
    nested_model_release(model);
    nested_context_release(context);
    return done();
}
