#pragma once

/*
 * Locks and threads are the platform's: Swift's Mutex confuses ThreadSanitizer, and its tasks do not
 * survive fork().
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
