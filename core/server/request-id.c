/* SPDX-License-Identifier: MIT */
#include "request-id.h"

#include <stdint.h>
#include <string.h>
#include <sys/random.h>

/* xoshiro256** (Blackman and Vigna 2018), seeded by the system, one state for each thread: a system call for each
 * request would cost more than the rest of the head. */
typedef struct Generator {
  guint64 state[4];
  gboolean seeded;
} Generator;

static guint64
rotate (guint64 x, int bits)
{
  return (x << bits) | (x >> (64 - bits));
}

static guint64
next_random (Generator *generator)
{
  guint64 *s = generator->state;
  const guint64 result = rotate (s[1] * 5, 7) * 9;
  const guint64 t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate (s[3], 45);
  return result;
}

static void
seed (Generator *generator)
{
  if (getrandom (generator->state, sizeof generator->state, 0) != (ssize_t)sizeof generator->state)
    for (guint i = 0; i < 4; i++)
      generator->state[i] = (guint64)g_random_int () << 32 | g_random_int ();
  generator->state[0] |= 1; /* all zero would stay zero */
  generator->seeded = TRUE;
}

static void
write_uuid (char id[37])
{
  static _Thread_local Generator generator;
  static const char digits[] = "0123456789abcdef";
  if (!generator.seeded)
    seed (&generator);

  const guint64 words[2] = {
    (next_random (&generator) & ~UINT64_C (0xf000)) | UINT64_C (0x4000),
    (next_random (&generator) & ~(UINT64_C (3) << 62)) | (UINT64_C (1) << 63),
  };
  guint at = 0;
  for (guint i = 0; i < 32; i++) {
    if (i == 8 || i == 12 || i == 16 || i == 20)
      id[at++] = '-';
    id[at++] = digits[(words[i / 16] >> (60 - 4 * (i % 16))) & 15];
  }
  id[at] = '\0';
}

static gboolean
is_usable (RagifyStr given)
{
  if (given.size < 1 || given.size > 36)
    return FALSE;
  for (gsize i = 0; i < given.size; i++)
    if (!g_ascii_isalnum (given.data[i]) && (given.data[i] == '\0' || strchr ("._~+/=:@-", given.data[i]) == NULL))
      return FALSE;
  return TRUE;
}

void
ragify_request_id_choose (RagifyStr given, char id[37])
{
  if (!is_usable (given)) {
    write_uuid (id);
    return;
  }
  memcpy (id, given.data, given.size);
  id[given.size] = '\0';
}
