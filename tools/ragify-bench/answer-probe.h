/* Looks into a context answer, as it streams by, for the members that a benchmark counts: how long the host says it
 * took, which cache level answered, and whether the answer is degraded. It compares bytes ("cache":"…, "degraded":true,
 * "processing_time":…) and builds no tree; inside a JSON string such bytes would be escaped, so the query or a chunk
 * cannot be taken for them. */
#pragma once

#include <glib.h>

enum { RAGIFY_ANSWER_VALUE_SIZE = 24, RAGIFY_ANSWER_MEMBERS = 3 };

typedef struct {
  /* The values as they stand, cut to their room, "" while not seen; in the order of the functions below. */
  char values[RAGIFY_ANSWER_MEMBERS][RAGIFY_ANSWER_VALUE_SIZE];
  guint8 lengths[RAGIFY_ANSWER_MEMBERS];
  /* Where it stands. */
  guint8 matched[RAGIFY_ANSWER_MEMBERS];
  gint8 reading; /* the member whose value comes now, -1: none */
} RagifyAnswerProbe;

void ragify_answer_probe_reset (RagifyAnswerProbe *probe);

/* Takes the next piece of the body. The first level and time count and the last degradation, since the former stand
 * before the chunks, whose metadata are anybody's, and the latter behind them. */
void ragify_answer_probe_feed (RagifyAnswerProbe *probe, const char *bytes, gsize length);

/* "miss", "memory", …; "" when not seen. */
const char *ragify_answer_probe_get_level (const RagifyAnswerProbe *probe);
gboolean ragify_answer_probe_is_degraded (const RagifyAnswerProbe *probe);

/* Seconds in the host; NaN when not seen. */
double ragify_answer_probe_get_processing_time (const RagifyAnswerProbe *probe);
