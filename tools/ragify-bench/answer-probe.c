#include "answer-probe.h"

#include <string.h>

static const char cache_member[] = "\"cache\":\"";
static const char degraded_member[] = "\"degraded\":";

void
ragify_answer_probe_reset (RagifyAnswerProbe *probe)
{
  memset (probe, 0, sizeof *probe);
}

/* One byte further in a word that starts with a quote. Returns TRUE when the word is complete. */
static gboolean
advance (guint8 *matched, const char *word, gsize word_length, char byte)
{
  if (byte == word[*matched])
    (*matched)++;
  else
    *matched = byte == '"' ? 1 : 0;
  if (*matched < word_length)
    return FALSE;
  *matched = 0;
  return TRUE;
}

static void
take_level_byte (RagifyAnswerProbe *probe, char byte)
{
  if (byte != '"' && probe->level_length < sizeof probe->level - 1) {
    probe->level[probe->level_length++] = byte;
    return;
  }
  probe->in_level = FALSE;
  probe->level_known = TRUE;
}

void
ragify_answer_probe_feed (RagifyAnswerProbe *probe, const char *bytes, gsize length)
{
  for (gsize i = 0; i < length; i++) {
    if (probe->in_level) {
      take_level_byte (probe, bytes[i]);
      continue;
    }
    if (probe->matched[0] == 0 && probe->matched[1] == 0) {
      const char *quote = memchr (bytes + i, '"', length - i);
      if (quote == NULL)
        return;
      i = (gsize)(quote - bytes);
    }
    if (!probe->level_known && advance (&probe->matched[0], cache_member, sizeof cache_member - 1, bytes[i]))
      probe->in_level = TRUE;
    if (probe->matched[1] == sizeof degraded_member - 1) {
      /* The value's first letter decides; it comes right behind the member's name. */
      probe->degraded = bytes[i] == 't';
      probe->matched[1] = 0;
    } else if (bytes[i] == degraded_member[probe->matched[1]])
      probe->matched[1]++;
    else
      probe->matched[1] = bytes[i] == '"' ? 1 : 0;
  }
}
