/* Looks into a context answer, as it streams by, for the two members that a benchmark counts: which cache level
 * answered, and whether the answer is degraded. It compares bytes ("cache":"…, "degraded":true) and builds no tree;
 * inside a JSON string such bytes would be escaped, so the query or a chunk cannot be taken for them. */
#pragma once

#include <glib.h>

enum {
  RAGIFY_ANSWER_LEVEL_SIZE = 16,
};

typedef struct {
  char level[RAGIFY_ANSWER_LEVEL_SIZE]; /* "miss", "memory", …; "" while not seen */
  gboolean degraded;
  /* Where it stands; private. */
  guint8 matched[2];
  guint8 level_length;
  gboolean in_level;
  gboolean level_known;
} RagifyAnswerProbe;

void ragify_answer_probe_reset (RagifyAnswerProbe *probe);

/* Takes the next piece of the body. The first level counts and the last degradation, since the one stands before the
 * chunks, whose metadata are anybody's, and the other behind them. */
void ragify_answer_probe_feed (RagifyAnswerProbe *probe, const char *bytes, gsize length);
