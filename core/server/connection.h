/* A connection: its place among the others, and the deadlines that it is held to.
 *
 * SPDX-License-Identifier: MIT
 *
 * libmicrohttpd's own time-out starts anew with every byte. Here a head and a body have a time in all, so that feeding
 * bytes drop by drop gains nothing. Each connection looks at its clock now and then (tick) instead of moving a timer
 * with every request, so a limit is kept to within one tick.
 */
#pragma once

#include "exchange.h"

struct RagifyConnection {
  RagifyListener *listener;
  struct MHD_Connection *mhd;
  int descriptor;
  RagifyConnection *next_all, *previous_all;
  RagifyConnection *newer_idle, *older_idle;
  gboolean in_idle;
  RagifyClientKey client;
  gboolean client_counted;
  const char *crowded; /* why only health is answered on it: constant; NULL: all is */

  RagifyDeadline tick;
  guint64 tick_period;
  guint64 since;      /* when it became idle */
  guint64 limit;      /* when the present state must be over; 0: never */
  guint64 head_began; /* when bytes of a head without its request line were first seen; 0: not */
  guint64 consumed;   /* bytes of all whole requests, where known */
  gboolean consumed_known;
  gboolean watched; /* for the end of the client's side */
  gboolean ended;   /* the client can send no more; in the listener's list of those */
  RagifyExchange exchange;
};

/* libmicrohttpd's callbacks. */
enum MHD_Result ragify_connection_accept (void *listener, const struct sockaddr *address, socklen_t size);
void ragify_connection_notify (void *listener, struct MHD_Connection *mhd, void **context,
                               enum MHD_ConnectionNotificationCode code);
void *ragify_connection_request_line (void *listener, const char *target, struct MHD_Connection *mhd);
void ragify_connection_completed (void *listener, struct MHD_Connection *mhd, void **context,
                                  enum MHD_RequestTerminationCode code);

/* Runs on a loop whose idle connections others need to make room: a listener's `evict`. */
void ragify_connection_evict (RagifyTask *task);

/* The present state must be over at `limit` (monotonic µs; 0: whenever). */
void ragify_connection_set_limit (RagifyConnection *connection, guint64 limit);
/* Why only health may be answered on the connection now (constant), or NULL. One that was too many when it came may no
 * longer be. */
const char *ragify_connection_crowded (RagifyConnection *connection);

/* The client has ended its side. */
void ragify_connection_client_ended (RagifyConnection *connection);
/* Everything that it had sent before has been read: nothing more will come of a request that is not whole. */
void ragify_connection_settle_ended (RagifyConnection *connection);
/* Sends a whole response past libmicrohttpd, where nothing of its own is under way, and ends our side. */
void ragify_connection_send_last (RagifyConnection *connection, const char *data, gsize size);
/* Both sides are done with: libmicrohttpd finds it closed. */
void ragify_connection_shut (RagifyConnection *connection);
