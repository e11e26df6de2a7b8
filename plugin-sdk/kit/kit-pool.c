/* SPDX-License-Identifier: MIT */
#include "kit-private.h"

#include <stdlib.h>

#define QUEUE_MAX 4096

typedef struct Job {
  void (*work) (void *user);
  void *user;
} Job;

struct KitPool {
  RagifyKit *kit;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  Job queue[QUEUE_MAX]; /* a ring */
  size_t first;
  size_t count;
  bool ending;
  uint32_t thread_count;
  pthread_t threads[];
};

static void *
pool_thread (void *user)
{
  KitPool *pool = user;
  kit_thread_set_role (RAGIFY_THREAD_WORKER, NULL);
  pthread_mutex_lock (&pool->lock);
  for (;;) {
    while (pool->count == 0 && !pool->ending)
      pthread_cond_wait (&pool->changed, &pool->lock);
    if (pool->count == 0)
      break;
    const Job job = pool->queue[pool->first];
    pool->first = (pool->first + 1) % QUEUE_MAX;
    pool->count--;
    pthread_mutex_unlock (&pool->lock);
    job.work (job.user);
    atomic_fetch_sub (&pool->kit->jobs, 1);
    pthread_mutex_lock (&pool->lock);
  }
  pthread_mutex_unlock (&pool->lock);
  return NULL;
}

KitPool *
kit_pool_new (RagifyKit *kit, uint32_t threads)
{
  KitPool *pool = kit_alloc (sizeof *pool + threads * sizeof pool->threads[0]);
  pool->kit = kit;
  pthread_mutex_init (&pool->lock, NULL);
  pthread_cond_init (&pool->changed, NULL);
  for (; pool->thread_count < threads; pool->thread_count++) {
    if (pthread_create (&pool->threads[pool->thread_count], NULL, pool_thread, pool) != 0)
      abort ();
  }
  return pool;
}

bool
kit_pool_push (KitPool *pool, void (*work) (void *user), void *user)
{
  pthread_mutex_lock (&pool->lock);
  const bool room = pool->count < QUEUE_MAX;
  if (room) {
    atomic_fetch_add (&pool->kit->jobs, 1);
    pool->queue[(pool->first + pool->count++) % QUEUE_MAX] = (Job){ work, user };
    pthread_cond_signal (&pool->changed);
  }
  pthread_mutex_unlock (&pool->lock);
  return room;
}

void
kit_pool_free (KitPool *pool)
{
  pthread_mutex_lock (&pool->lock);
  pool->ending = true;
  pthread_cond_broadcast (&pool->changed);
  pthread_mutex_unlock (&pool->lock);
  for (uint32_t i = 0; i < pool->thread_count; i++)
    pthread_join (pool->threads[i], NULL);
  pthread_mutex_destroy (&pool->lock);
  pthread_cond_destroy (&pool->changed);
  free (pool);
}
