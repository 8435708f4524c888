/*
 * 06: gradients out and in. Two workers with equal weights each read half of every batch, add up their gradients, and
 * stay equal: data-parallel training by hand.
 *
 * New here: nested_trainer_accumulate, nested_trainer_gradient, nested_trainer_apply, nested_trainer_set_allreduce,
 * nested_model_clone, nested_model_params_get, nested_model_tensor_at.
 *
 *     cc -std=c11 -I ../../include 06_gradients.c -lnested -lpthread -lm -o 06 && ./06
 */
#define _POSIX_C_SOURCE 200809L
#include <nested.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 8
#define LENGTH 32

static void check(nested_status status)
{
    nested_error e;
    if (status == NESTED_OK) return;
    NESTED_INIT(e);
    if (nested_last_error(&e) == NESTED_OK)
        fprintf(stderr, "%s: %s: %s %s\n", e.function, nested_status_name(status), e.message, e.place);
    exit(1);
}

static void *reserve(size_t bytes)
{
    void *memory = malloc(bytes);
    if (memory == NULL) exit(1);
    return memory;
}

static int32_t tokens[ROWS * LENGTH];

/* Some of the rows: windows of a text, others for every step. */
static nested_batch rows(int64_t first, int64_t count)
{
    nested_batch batch;
    NESTED_INIT(batch);
    batch.n_seq = count;
    batch.seq_len = LENGTH;
    batch.tokens = tokens + first * LENGTH;
    return batch;
}

static void next_batch(unsigned step)
{
    static const char text[] = "the quick brown fox jumps over the lazy dog. ";
    size_t i;
    for (i = 0; i < ROWS * LENGTH; i++)
        tokens[i] = text[(i % LENGTH + (i / LENGTH) * 5 + step * 7) % (sizeof text - 1)];
}

static float *weights_of(const nested_model *model, size_t n)
{
    float *weights = reserve(n * sizeof *weights);
    check(nested_model_params_get(model, weights, n));
    return weights;
}

/* 1 where both workers have the same bits, and one trainer that read everything nearly the same numbers. */
static int agree(nested_model *const *models, size_t n)
{
    float *a = weights_of(models[0], n), *b = weights_of(models[1], n), *whole = weights_of(models[2], n), largest = 0;
    int same = memcmp(a, b, n * sizeof *a) == 0;
    size_t i;
    for (i = 0; i < n; i++) largest = fmaxf(largest, fabsf(a[i] - whole[i]));
    printf("the workers' weights are the same bits: %s; from one trainer on the whole batch they differ by %.1e at most\n",
           same ? "yes" : "no", largest);
    free(a);
    free(b);
    free(whole);
    return same && largest < 2e-3f;
}

/* The same by a hook, which step() calls with each piece of the gradient. Here the workers are threads that meet in
 * memory; elsewhere this is MPI_Allreduce. */
typedef struct worker {
    nested_trainer *trainer;
    int index;
} worker;

static pthread_barrier_t meeting;
static unsigned char *shared[2]; /* what each worker brings */

static int32_t sum_over_workers(void *user, void *data, size_t count, int32_t dtype)
{
    const worker *w = user;
    size_t i, bytes = count * nested_dtype_size(dtype);
    memcpy(shared[w->index], data, bytes);
    pthread_barrier_wait(&meeting);
    for (i = 0; i < count; i++)
        if (dtype == NESTED_F32) ((float *)data)[i] = ((float *)shared[0])[i] + ((float *)shared[1])[i];
        else ((double *)data)[i] = ((double *)shared[0])[i] + ((double *)shared[1])[i];
    pthread_barrier_wait(&meeting);
    return 0;
}

static void *train(void *argument)
{
    worker *w = argument;
    nested_batch half = rows(w->index * ROWS / 2, ROWS / 2);
    check(nested_trainer_set_allreduce(w->trainer, sum_over_workers, w, 0));
    check(nested_trainer_step(w->trainer, &half, NULL, NULL));
    return NULL;
}

int main(void)
{
    static const char options[] = "{\"lr\": 0.01, \"schedule\": {\"type\": \"constant\"}}";
    nested_context *context = NULL;
    nested_config *config = NULL;
    nested_model *models[3] = {NULL, NULL, NULL}; /* two workers, and one that reads everything */
    nested_trainer *trainers[3] = {NULL, NULL, NULL};
    nested_model_info info;
    nested_tensor_info tensor, most;
    worker workers[2];
    pthread_t threads[2];
    unsigned step;
    float *mine, *theirs;
    double *my_targets, *their_targets, norm, largest = 0;
    size_t n, i;
    int64_t t;
    int w, good;

    check(nested_context_create(NULL, &context));
    check(nested_config_from_json("{\"kind\": \"hope\", \"vocab\": 256, \"d_model\": 64, \"n_layers\": 2}",
                                  NESTED_NUL_TERMINATED, &config));
    check(nested_model_create(context, config, 3, &models[0]));
    check(nested_model_clone(models[0], &models[1]));
    check(nested_model_clone(models[0], &models[2]));
    for (w = 0; w < 3; w++)
        check(nested_trainer_create(models[w], options, NESTED_NUL_TERMINATED, &trainers[w]));
    NESTED_INIT(info);
    check(nested_model_get_info(models[0], &info));

    for (step = 0; step < 5; step++) {
        nested_batch left, right, all;
        nested_step applied, whole;
        NESTED_INIT(applied);
        NESTED_INIT(whole);
        next_batch(step);
        left = rows(0, ROWS / 2), right = rows(ROWS / 2, ROWS / 2), all = rows(0, ROWS);
        check(nested_trainer_accumulate(trainers[0], &left, NULL, NULL));
        check(nested_trainer_accumulate(trainers[1], &right, NULL, NULL));

        /* Out and in: sums over targets, so they add up, and so do the counts. The arrays are the trainers' own. */
        check(nested_trainer_gradient(trainers[0], &mine, &n, &my_targets));
        check(nested_trainer_gradient(trainers[1], &theirs, NULL, &their_targets));
        for (i = 0; i < n; i++) mine[i] = theirs[i] = mine[i] + theirs[i];
        *my_targets = *their_targets = *my_targets + *their_targets;

        check(nested_trainer_apply(trainers[0], NULL, &applied));
        check(nested_trainer_apply(trainers[1], NULL, NULL));
        check(nested_trainer_step(trainers[2], &all, NULL, &whole));
        printf("step %llu: %.0f targets, gradient norm %.6f; in one piece %.6f\n", (unsigned long long)applied.step,
               applied.n_targets, applied.grad_norm, whole.grad_norm);
    }
    good = agree(models, n);

    /* By name: a tensor's gradient starts at its flat_offset. Which part would learn most? */
    {
        nested_batch all = rows(0, ROWS);
        check(nested_trainer_accumulate(trainers[0], &all, NULL, NULL));
        check(nested_trainer_gradient(trainers[0], &mine, &n, &my_targets));
        NESTED_INIT(most);
        for (t = 0; t < nested_model_tensor_count(models[0]); t++) {
            NESTED_INIT(tensor);
            check(nested_model_tensor_at(models[0], t, &tensor));
            for (i = 0, norm = 0; i < tensor.n_elements; i++) {
                double g = (double)mine[tensor.flat_offset + i] / *my_targets;
                norm += g * g;
            }
            if (norm > largest) largest = norm, most = tensor;
        }
        printf("the largest gradient is that of %s: %.4f\n", most.name, sqrt(largest));
        check(nested_trainer_zero(trainers[0]));
    }

    /* One more step, through the hook. */
    if (pthread_barrier_init(&meeting, NULL, 2) != 0) return 1;
    next_batch(step);
    for (w = 0; w < 2; w++) {
        shared[w] = reserve((size_t)info.n_params * sizeof(double));
        workers[w].trainer = trainers[w];
        workers[w].index = w;
        if (pthread_create(&threads[w], NULL, train, &workers[w]) != 0) return 1;
    }
    for (w = 0; w < 2; w++) pthread_join(threads[w], NULL);
    {
        nested_batch all = rows(0, ROWS);
        check(nested_trainer_step(trainers[2], &all, NULL, NULL));
    }
    printf("through the hook, ");
    good = agree(models, n) && good;

    pthread_barrier_destroy(&meeting);
    for (w = 0; w < 2; w++) free(shared[w]);
    for (w = 0; w < 3; w++) {
        nested_trainer_release(trainers[w]);
        nested_model_release(models[w]);
    }
    nested_config_release(config);
    nested_context_release(context);
    return good ? 0 : 1;
}
