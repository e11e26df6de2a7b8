/* SPDX-License-Identifier: MIT */
#include "core/module/isolation-channel.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING_SIZE (1u << 20)
#define WAITING_MAX ((gsize)256 << 20)
#define FRAME_MAX ((gsize)1 << 30)
#define KEPT_MEMORY ((gsize)4 << 20)

/* In shared memory. Positions count bytes from the beginning and are never wrapped. */
typedef struct Ring {
  _Alignas(64) _Atomic guint64 written;
  _Alignas(64) _Atomic guint64 read;
  _Alignas(64) _Atomic guint32 asleep; /* the reader wants a byte when something is written */
  _Atomic guint32 hungry;              /* the writer wants one when something is read */
  _Alignas(64) guint8 data[RING_SIZE];
} Ring;

typedef struct Shared {
  Ring rings[2]; /* of the parent, of the child */
} Shared;

typedef struct FrameHead {
  guint32 size, type;
  guint64 id;
} FrameHead;

struct RagifyChannel {
  int socket;
  Shared *shared;
  Ring *out, *in;
  pthread_mutex_t lock; /* guards `written`, `waiting` and `taken` */
  guint64 written;      /* our own positions: those in shared memory are for the other side to see */
  GByteArray *waiting;  /* what found no room; of it `taken` bytes went since */
  gsize taken;
  guint64 read; /* the reader's, as is what follows */
  GByteArray *arrived;
};

static RagifyChannel *
channel_make (int socket, int memory, gboolean child, GError **error)
{
  Shared *shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (shared == MAP_FAILED) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "shared memory: %s", g_strerror (errno));
    return NULL;
  }
  RagifyChannel *channel = g_new0 (RagifyChannel, 1);
  channel->socket = socket;
  channel->shared = shared;
  channel->out = &shared->rings[child ? 1 : 0];
  channel->in = &shared->rings[child ? 0 : 1];
  pthread_mutex_init (&channel->lock, NULL);
  channel->waiting = g_byte_array_new ();
  channel->arrived = g_byte_array_new ();
  return channel;
}

RagifyChannel *
ragify_channel_new (int *other_socket, int *other_memory, GError **error)
{
  int sockets[2];
  const int memory = memfd_create ("ragify-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memory < 0 || ftruncate (memory, sizeof (Shared)) != 0 ||
      socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) != 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "a channel to a child process: %s",
                 g_strerror (errno));
    if (memory >= 0)
      close (memory);
    return NULL;
  }
  /* A child that shrinks the memory would kill us with SIGBUS. */
  RagifyChannel *channel = channel_make (sockets[0], memory, FALSE, error);
  if (channel != NULL && fcntl (memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    g_clear_pointer (&channel, ragify_channel_free);
  if (channel == NULL) {
    if (error != NULL && *error == NULL)
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "shared memory cannot be sealed");
    close (memory);
    close (sockets[1]);
    return NULL;
  }
  *other_socket = sockets[1];
  *other_memory = memory;
  return channel;
}

RagifyChannel *
ragify_channel_open (int socket, int memory, GError **error)
{
  RagifyChannel *channel = channel_make (socket, memory, TRUE, error);
  close (memory);
  return channel;
}

void
ragify_channel_free (RagifyChannel *channel)
{
  close (channel->socket);
  munmap (channel->shared, sizeof *channel->shared);
  pthread_mutex_destroy (&channel->lock);
  g_byte_array_unref (channel->waiting);
  g_byte_array_unref (channel->arrived);
  g_free (channel);
}

int
ragify_channel_descriptor (const RagifyChannel *channel)
{
  return channel->socket;
}

/* ---- writing ---- */

static void
ring_bell (RagifyChannel *channel)
{
  /* A full socket holds bytes that will wake it all the same; a closed one is seen by the reader. */
  const ssize_t sent = send (channel->socket, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  (void)sent;
}

/* Copies as much as there is room for. With the lock held. */
static gsize
put (RagifyChannel *channel, const guint8 *data, gsize size)
{
  Ring *ring = channel->out;
  const guint64 written = channel->written;
  const guint64 used = written - atomic_load_explicit (&ring->read, memory_order_acquire);
  const gsize room = used <= RING_SIZE ? RING_SIZE - (gsize)used : 0; /* more than all: the reader is mad */
  const gsize length = MIN (size, room);
  const gsize at = written % RING_SIZE;
  const gsize first = MIN (length, RING_SIZE - at);
  memcpy (ring->data + at, data, first);
  memcpy (ring->data, data + first, length - first);
  channel->written = written + length;
  atomic_store (&ring->written, channel->written);
  return length;
}

/* Sends what waits. With the lock held. */
static void
flush (RagifyChannel *channel)
{
  GByteArray *waiting = channel->waiting;
  while (channel->taken < waiting->len) {
    const gsize went = put (channel, waiting->data + channel->taken, waiting->len - channel->taken);
    channel->taken += went;
    if (went > 0)
      continue;
    /* Asked for a byte, then looked again: either it comes or there is room now. */
    atomic_store (&channel->out->hungry, 1);
    if (channel->written - atomic_load (&channel->out->read) >= RING_SIZE)
      return;
  }
  channel->taken = 0;
  if (waiting->len > KEPT_MEMORY) {
    g_byte_array_unref (waiting);
    channel->waiting = g_byte_array_new ();
  } else {
    g_byte_array_set_size (waiting, 0);
  }
}

/* With the lock held. */
static void
put_or_keep (RagifyChannel *channel, const void *data, gsize size)
{
  gsize went = 0;
  if (channel->waiting->len == 0)
    went = put (channel, data, size);
  if (went < size)
    g_byte_array_append (channel->waiting, (const guint8 *)data + went, (guint)(size - went));
}

gboolean
ragify_channel_send (RagifyChannel *channel, guint32 type, guint64 id, GBytes *head, const void *body, gsize size,
                     gboolean urgent)
{
  const gsize head_size = head != NULL ? g_bytes_get_size (head) : 0;
  const FrameHead frame = { .size = (guint32)(head_size + size), .type = type, .id = id };
  pthread_mutex_lock (&channel->lock);
  const gboolean fits = head_size + size <= FRAME_MAX && channel->waiting->len + head_size + size <= WAITING_MAX;
  if (fits) {
    put_or_keep (channel, &frame, sizeof frame);
    if (head_size > 0)
      put_or_keep (channel, g_bytes_get_data (head, NULL), head_size);
    if (size > 0)
      put_or_keep (channel, body, size);
    if (channel->waiting->len > 0)
      flush (channel);
  }
  pthread_mutex_unlock (&channel->lock);
  if (fits && urgent && atomic_exchange (&channel->out->asleep, 0) != 0)
    ring_bell (channel);
  return fits;
}

/* ---- reading ---- */

static gboolean
fetch (RagifyChannel *channel, gboolean *any)
{
  Ring *ring = channel->in;
  const guint64 read = channel->read;
  const guint64 there = atomic_load (&ring->written) - read;
  *any = there > 0;
  if (there > RING_SIZE)
    return FALSE;
  const gsize at = read % RING_SIZE;
  const gsize first = MIN ((gsize)there, RING_SIZE - at);
  g_byte_array_append (channel->arrived, ring->data + at, (guint)first);
  g_byte_array_append (channel->arrived, ring->data, (guint)((gsize)there - first));
  channel->read = read + there;
  atomic_store (&ring->read, channel->read);
  if (there > 0 && atomic_exchange (&ring->hungry, 0) != 0)
    ring_bell (channel);
  return TRUE;
}

/* Hands over the whole frames of what has arrived. */
static gboolean
hand_over (RagifyChannel *channel, RagifyFrameTake take, void *user)
{
  gsize at = 0;
  GByteArray *arrived = channel->arrived;
  while (arrived->len - at >= sizeof (FrameHead)) {
    FrameHead head;
    memcpy (&head, arrived->data + at, sizeof head);
    if (head.size > FRAME_MAX)
      return FALSE;
    if (arrived->len - at - sizeof head < head.size)
      break;
    const RagifyFrame frame = {
      .type = head.type, .id = head.id, .data = arrived->data + at + sizeof head, .size = head.size
    };
    take (user, &frame);
    at += sizeof head + head.size;
  }
  if (at == arrived->len && arrived->len > KEPT_MEMORY) {
    g_byte_array_unref (arrived);
    channel->arrived = g_byte_array_new ();
  } else if (at > 0) {
    g_byte_array_remove_range (arrived, 0, (guint)at);
  }
  return TRUE;
}

gboolean
ragify_channel_receive (RagifyChannel *channel, RagifyFrameTake take, void *user)
{
  for (gboolean any = TRUE; any;)
    if (!fetch (channel, &any) || !hand_over (channel, take, user))
      return FALSE;
  return TRUE;
}

gboolean
ragify_channel_sleep (RagifyChannel *channel)
{
  Ring *ring = channel->in;
  atomic_store (&ring->asleep, 1);
  if (atomic_load (&ring->written) == channel->read)
    return TRUE;
  atomic_store (&ring->asleep, 0);
  return FALSE;
}

gboolean
ragify_channel_wake (RagifyChannel *channel)
{
  char bytes[64];
  ssize_t got;
  do
    got = recv (channel->socket, bytes, sizeof bytes, MSG_DONTWAIT);
  while (got == sizeof bytes || (got < 0 && errno == EINTR));
  const gboolean open = got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
  pthread_mutex_lock (&channel->lock);
  const gboolean more = channel->waiting->len > 0;
  if (more)
    flush (channel);
  pthread_mutex_unlock (&channel->lock);
  if (more && atomic_exchange (&channel->out->asleep, 0) != 0)
    ring_bell (channel);
  /* The reader is up: whoever writes now need not wake it. */
  atomic_store (&channel->in->asleep, 0);
  return open;
}
