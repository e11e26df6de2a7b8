/* SPDX-License-Identifier: MIT */
#include "core/cache/write-queue.h"

#include <pthread.h>

#define AT_ONCE 4u /* writes under way */
#define POLL_US 200

struct RagifyWriteQueue {
  guint capacity;
  RagifyWriteQueueStart start;
  void *user;
  pthread_mutex_t lock; /* guards what follows */
  RagifyQueuedWrite *first, *last;
  guint length, under_way;
  gboolean closing;
};

RagifyWriteQueue *
ragify_write_queue_new (guint capacity, RagifyWriteQueueStart start, void *user)
{
  RagifyWriteQueue *queue = g_new0 (RagifyWriteQueue, 1);
  queue->capacity = capacity;
  queue->start = start;
  queue->user = user;
  pthread_mutex_init (&queue->lock, NULL);
  return queue;
}

static void
free_write (RagifyQueuedWrite *write)
{
  write->value->unref (write->value);
  g_free (write);
}

/* Locked. */
static RagifyQueuedWrite *
take_locked (RagifyWriteQueue *queue)
{
  RagifyQueuedWrite *write = queue->under_way < AT_ONCE ? queue->first : NULL;
  if (write == NULL)
    return NULL;
  queue->first = write->next;
  if (queue->first == NULL)
    queue->last = NULL;
  queue->length--;
  queue->under_way++;
  return write;
}

/* The next to start, counted as under way; NULL: none now. */
static RagifyQueuedWrite *
take (RagifyWriteQueue *queue)
{
  pthread_mutex_lock (&queue->lock);
  RagifyQueuedWrite *write = take_locked (queue);
  pthread_mutex_unlock (&queue->lock);
  return write;
}

/* Ends one and takes another; with neither left the queue may be freed by the time this returns. */
static RagifyQueuedWrite *
end_and_take (RagifyWriteQueue *queue, RagifyQueuedWrite *write)
{
  free_write (write);
  pthread_mutex_lock (&queue->lock);
  queue->under_way--;
  RagifyQueuedWrite *next = take_locked (queue);
  pthread_mutex_unlock (&queue->lock);
  return next;
}

static void
put_back (RagifyWriteQueue *queue, RagifyQueuedWrite *write)
{
  pthread_mutex_lock (&queue->lock);
  write->next = queue->first;
  queue->first = write;
  if (queue->last == NULL)
    queue->last = write;
  queue->length++;
  queue->under_way--;
  pthread_mutex_unlock (&queue->lock);
}

/* Starts `write` and those after it. One that ends inside its start is followed here, not from there, which would nest.
 */
static void
start_from (RagifyWriteQueue *queue, RagifyQueuedWrite *write)
{
  while (write != NULL) {
    gboolean over = write->worthless_at <= ragify_now ();
    if (!over) {
      write->starting = TRUE;
      write->ended = FALSE;
      if (!queue->start (write, queue->user)) {
        put_back (queue, write);
        return;
      }
      over = write->ended;
      write->starting = FALSE;
    }
    write = over ? end_and_take (queue, write) : take (queue);
  }
}

static gboolean
is_idle (RagifyWriteQueue *queue, gboolean with_waiting)
{
  pthread_mutex_lock (&queue->lock);
  const gboolean idle = queue->under_way == 0 && (!with_waiting || queue->length == 0);
  pthread_mutex_unlock (&queue->lock);
  return idle;
}

/* Takes all that waits; nothing can be put in any more. */
static RagifyQueuedWrite *
close_queue (RagifyWriteQueue *queue)
{
  pthread_mutex_lock (&queue->lock);
  RagifyQueuedWrite *first = queue->first;
  queue->first = queue->last = NULL;
  queue->length = 0;
  queue->closing = TRUE;
  pthread_mutex_unlock (&queue->lock);
  return first;
}

guint
ragify_write_queue_free (RagifyWriteQueue *queue, guint64 deadline)
{
  while (!is_idle (queue, TRUE) && ragify_now () < deadline)
    g_usleep (POLL_US);
  guint dropped = 0;
  for (RagifyQueuedWrite *write = close_queue (queue); write != NULL; dropped++) {
    RagifyQueuedWrite *next = write->next;
    free_write (write);
    write = next;
  }
  while (!is_idle (queue, FALSE)) /* the host does not wait for a call beyond its deadline */
    g_usleep (POLL_US);
  pthread_mutex_destroy (&queue->lock);
  g_free (queue);
  return dropped;
}

gboolean
ragify_write_queue_put (RagifyWriteQueue *queue, const RagifyTierKey *key, RagifyBuffer *value, guint64 worthless_at)
{
  pthread_mutex_lock (&queue->lock);
  const gboolean room = queue->length < queue->capacity && !queue->closing;
  if (room) {
    RagifyQueuedWrite *write = g_new (RagifyQueuedWrite, 1);
    *write = (RagifyQueuedWrite){ .key = *key, .value = value, .worthless_at = worthless_at };
    value->ref (value);
    *(queue->last != NULL ? &queue->last->next : &queue->first) = write;
    queue->last = write;
    queue->length++;
  }
  pthread_mutex_unlock (&queue->lock);
  start_from (queue, take (queue));
  return room;
}

void
ragify_write_queue_ended (RagifyWriteQueue *queue, RagifyQueuedWrite *write)
{
  if (write->starting)
    write->ended = TRUE;
  else
    start_from (queue, end_and_take (queue, write));
}

guint
ragify_write_queue_length (RagifyWriteQueue *queue)
{
  pthread_mutex_lock (&queue->lock);
  const guint length = queue->length;
  pthread_mutex_unlock (&queue->lock);
  return length;
}
