#include "answer-probe.h"

#include <math.h>
#include <string.h>

enum { MEMBER_LEVEL, MEMBER_TIME, MEMBER_DEGRADED };

typedef struct {
  const char *name;
  gsize length;
  gboolean last_counts;
} Member;

static const Member members[RAGIFY_ANSWER_MEMBERS] = {
  [MEMBER_LEVEL] = { "\"cache\":\"", sizeof "\"cache\":\"" - 1, FALSE },
  [MEMBER_TIME] = { "\"processing_time\":", sizeof "\"processing_time\":" - 1, FALSE },
  [MEMBER_DEGRADED] = { "\"degraded\":", sizeof "\"degraded\":" - 1, TRUE },
};

void
ragify_answer_probe_reset (RagifyAnswerProbe *probe)
{
  memset (probe, 0, sizeof *probe);
  probe->reading = -1;
}

/* A value ends at its closing quote, at a comma or at a brace; what does not fit is dropped. */
static void
take_value_byte (RagifyAnswerProbe *probe, char byte)
{
  guint member = (guint)probe->reading;
  if (byte == '"' || byte == ',' || byte == '}')
    probe->reading = -1;
  else if (probe->lengths[member] < RAGIFY_ANSWER_VALUE_SIZE - 1)
    probe->values[member][probe->lengths[member]++] = byte;
}

/* One byte further in every member's name. */
static void
take_name_byte (RagifyAnswerProbe *probe, char byte)
{
  for (guint i = 0; i < RAGIFY_ANSWER_MEMBERS; i++) {
    if (byte != members[i].name[probe->matched[i]]) {
      probe->matched[i] = byte == '"' ? 1 : 0;
      continue;
    }
    if (++probe->matched[i] < members[i].length)
      continue;
    probe->matched[i] = 0;
    if (probe->lengths[i] > 0 && !members[i].last_counts)
      continue;
    memset (probe->values[i], 0, RAGIFY_ANSWER_VALUE_SIZE);
    probe->lengths[i] = 0;
    probe->reading = (gint8)i;
  }
}

static gboolean
is_between_names (const RagifyAnswerProbe *probe)
{
  return probe->matched[0] == 0 && probe->matched[1] == 0 && probe->matched[2] == 0;
}

void
ragify_answer_probe_feed (RagifyAnswerProbe *probe, const char *bytes, gsize length)
{
  for (gsize i = 0; i < length; i++) {
    if (probe->reading >= 0) {
      take_value_byte (probe, bytes[i]);
      continue;
    }
    if (is_between_names (probe)) {
      const char *quote = memchr (bytes + i, '"', length - i);
      if (quote == NULL)
        return;
      i = (gsize)(quote - bytes);
    }
    take_name_byte (probe, bytes[i]);
  }
}

const char *
ragify_answer_probe_get_level (const RagifyAnswerProbe *probe)
{
  return probe->values[MEMBER_LEVEL];
}

gboolean
ragify_answer_probe_is_degraded (const RagifyAnswerProbe *probe)
{
  return strcmp (probe->values[MEMBER_DEGRADED], "true") == 0;
}

double
ragify_answer_probe_get_processing_time (const RagifyAnswerProbe *probe)
{
  const char *text = probe->values[MEMBER_TIME];
  char *end = NULL;
  double seconds = g_ascii_strtod (text, &end);
  return end != text ? seconds : NAN;
}
