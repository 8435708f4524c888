/* Rule R1: every function of the tour on a thread with a stack of 128 KiB, with a signal every millisecond whose handler restarts nothing,
 * with SIGPIPE as it comes, without standard descriptors, in a folder that is gone. The statuses, the objects and the host are the same. */
#include "tour.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>

static uint64_t wanted, got;
static int rounds = 1;

static void *whole_tour(void *unused)
{
    int i, round;
    tour t;
    (void)unused;
    tour_open(&t, 2);
    for (round = 0; round < rounds; round++) {
        for (i = 0; i < TOUR_LENGTH; i++) {
            nested_status status = tour_steps[i].go(&t);
            if (status != NESTED_OK) fprintf(tell(), "%s\n", tour_steps[i].function);
            OK(status);
        }
        if (round == 0) got = tour_hash(&t);
    }
    tour_close(&t);
    return NULL;
}

static void on_small_stack(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, 128 * 1024) == 0);
    CHECK(pthread_create(&thread, &attributes, whole_tour, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(pthread_attr_destroy(&attributes) == 0);
    CHECK(got == wanted);
}

static volatile sig_atomic_t ticks;
static void on_tick(int signal)
{
    (void)signal;
    ticks++;
}

static void under_signals(void)
{
    struct sigaction action;
    struct itimerval timer;
    memset(&action, 0, sizeof action); /* no SA_RESTART: calls of the system are interrupted */
    action.sa_handler = on_tick;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    memset(&timer, 0, sizeof timer);
    timer.it_interval.tv_usec = timer.it_value.tv_usec = 1000;
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    rounds = 10;
    whole_tour(NULL);
    on_small_stack();
    memset(&timer, 0, sizeof timer);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    CHECK(got == wanted && ticks > 20);
}

/* Files that the library opens may then get the numbers 0, 1 and 2: nothing is written into them but what belongs there. */
static void without_descriptors(void)
{
    int saved[3], i;
    for (i = 0; i < 3; i++) saved[i] = fcntl(i, F_DUPFD, 10);
    check_output = fdopen(dup(saved[2]), "w");
    for (i = 0; i < 3; i++) CHECK(close(i) == 0);
    rounds = 1;
    whole_tour(NULL);
    for (i = 0; i < 3; i++) CHECK(fcntl(i, F_GETFD) < 0); /* nothing was left open */
    for (i = 0; i < 3; i++) CHECK(dup2(saved[i], i) == i && close(saved[i]) == 0);
    fclose(check_output);
    check_output = NULL;
    CHECK(got == wanted);
}

static void without_folder(void)
{
    const char *folder = scratch("gone");
    char here[4096];
    CHECK(getcwd(here, sizeof here) != NULL && mkdir(folder, 0700) == 0 && chdir(folder) == 0 && rmdir(folder) == 0);
    whole_tour(NULL);
    CHECK(chdir(here) == 0 && got == wanted);
}

int main(void)
{
    whole_tour(NULL);
    wanted = got;
    on_small_stack();
    under_signals();
    without_descriptors();
    without_folder();
    remove_scratch();
    return done();
}
