/* A session's inside, shared by what sends (postgres-outgoing.c) and what receives (postgres-session.c). */
#ifndef RAGIFY_POSTGRES_SESSION_PRIVATE_H
#define RAGIFY_POSTGRES_SESSION_PRIVATE_H

#include "postgres-session.h"

#include <glib.h>

#define RAGIFY_POSTGRES_NO_TIMEOUT_KNOWN G_MAXUINT

typedef enum { SETTING, FREE, RUNNING, DRAINING, LOST } State;

/* What is to come back, in this order. */
typedef enum { EXPECT_SETTING, EXPECT_OWN, EXPECT_PREPARED, EXPECT_STEP, EXPECT_RESET, EXPECT_SYNC } Kind;

typedef struct Expected {
  Kind kind;
  guint index;      /* of the setting or step */
  const char *name; /* of what is prepared */
} Expected;

/* A cancel request under way; it outlives the session where that is closed meanwhile. */
typedef struct Cancelling {
  PGcancel *cancel;
  RagifyPostgresSession *session; /* NULL: gone */
} Cancelling;

struct RagifyPostgresSession {
  RagifyPostgresSessionOptions options;
  PGconn *connection;
  RagifyWatch *watch;
  RagifyTimer *timer;
  State state;
  RagifyPostgresQuery *query; /* while RUNNING */
  RagifyPostgresQuery *lost;
  GArray *expected;
  guint at;
  GHashTable *prepared;
  GHashTable *refused;    /* settings that the server does not take, as GUINT_TO_POINTER */
  Cancelling *cancelling; /* NULL: none is under way */
  RagifyFault fault;      /* of the query; of the session once it is LOST */
  gboolean failed;        /* `fault` is set */
  gboolean in_force;      /* the settings are */
  gboolean setting;       /* this batch puts them in force */
  gboolean reset_failed, anything, stale, oversized, writing, held;
  gboolean soft;                   /* draining without having asked it to stop */
  gboolean cancelled, cancel_seen; /* it was asked to cancel; it said that it did */
  guint timeout_ms;                /* the server's statement_timeout as it is now */
  guint64 unparsed, until, queries, idle_since;
};

/* From postgres-session.c. */
void ragify_postgres_session_set_timer (RagifyPostgresSession *session, guint64 delay);
/* What can be written now; the rest when the socket takes it. */
void ragify_postgres_session_flush (RagifyPostgresSession *session);

/* From postgres-outgoing.c: all settings, each a round of its own, so that one that is refused does not undo the
 * others. */
void ragify_postgres_session_send_settings (RagifyPostgresSession *session);

#endif
