/* A channel between two processes: frames through two rings of shared memory, a socket to wake the other side.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each ring has one writer and one reader and carries a stream of bytes, so that a frame may be larger than the ring;
 * what does not fit waits in the sender's memory until the reader has made room. Sending never blocks. The socket
 * carries a byte only when the other side has said that it sleeps, or waits for room; its end is the other's end.
 *
 * What the other process wrote is copied out before it is looked at, and its positions are checked: a child that
 * scribbles over the rings breaks its channel and nothing else.
 */
#pragma once

#include <glib.h>

typedef struct RagifyChannel RagifyChannel;

typedef struct RagifyFrame {
  guint32 type;
  guint64 id;
  const guint8 *data; /* the receiver's copy, until its function returns; not aligned */
  gsize size;
} RagifyFrame;

typedef void (*RagifyFrameTake) (void *user, const RagifyFrame *frame);

/* The parent's end. The other end's descriptors are the caller's to hand on and to close. [any] */
RagifyChannel *ragify_channel_new (int *other_socket, int *other_memory, GError **error);
/* The child's end; takes the descriptors. */
RagifyChannel *ragify_channel_open (int socket, int memory, GError **error);
void ragify_channel_free (RagifyChannel *channel);

/* To poll for reading. */
int ragify_channel_descriptor (const RagifyChannel *channel);

/* Sends `head` and `body` as one frame. An urgent one wakes the reader; one that is not is found with the next that
 * is. FALSE, and nothing is sent, when more than 256 MiB wait already. [any] */
gboolean ragify_channel_send (RagifyChannel *channel, guint32 type, guint64 id, GBytes *head, const void *body,
                              gsize size, gboolean urgent);

/* ---- the reader's side: one thread ---- */

/* Hands over every frame that is there; FALSE when the other side has broken the rules. */
gboolean ragify_channel_receive (RagifyChannel *channel, RagifyFrameTake take, void *user);
/* Before polling: says that a byte is wanted from now. FALSE: frames came meanwhile; receive first. */
gboolean ragify_channel_sleep (RagifyChannel *channel);
/* After polling: takes the bytes and sends what waited for room. FALSE: the other end is closed. */
gboolean ragify_channel_wake (RagifyChannel *channel);
