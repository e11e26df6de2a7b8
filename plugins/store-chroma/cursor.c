#include "cursor.h"

#include <string.h>

#define HALF 8u
#define ROUNDS 4u

/* One half of the cursor hashed, under the secret of the store. */
static guint64
shuffle (const RagifyUuid *secret, guint8 round, guint64 half)
{
  guint8 digest[32], text[HALF + 1] = { round };
  gsize size = sizeof digest;
  memcpy (text + 1, &half, sizeof half);
  GHmac *hmac = g_hmac_new (G_CHECKSUM_SHA256, secret->bytes, sizeof secret->bytes);
  g_hmac_update (hmac, text, sizeof text);
  g_hmac_get_digest (hmac, digest, &size);
  g_hmac_unref (hmac);
  memcpy (&half, digest, sizeof half);
  return GUINT64_FROM_LE (half);
}

/* Luby and Rackoff's construction (1988): four rounds make of a hash a permutation that looks like chance. The left
 * half begins as 0, by which a cursor of another store, or of nobody, is told. */
void
chroma_cursor_write (const RagifyUuid *secret, guint64 offset, char *text)
{
  guint64 left = 0, right = offset;
  for (guint8 round = 0; round < ROUNDS; round++) {
    const guint64 next = left ^ shuffle (secret, round, GUINT64_TO_LE (right));
    left = right;
    right = next;
  }
  (void)g_snprintf (text, CHROMA_CURSOR_SIZE, "%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x", left, right);
}

static gboolean
read_half (const char *text, guint64 *half)
{
  char digits[2 * HALF + 1] = { 0 };
  memcpy (digits, text, 2 * HALF);
  return g_ascii_string_to_unsigned (digits, 16, 0, G_MAXUINT64, half, NULL);
}

gboolean
chroma_cursor_read (const RagifyUuid *secret, RagifyStr text, guint64 *offset)
{
  guint64 left, right;
  if (text.size != CHROMA_CURSOR_SIZE - 1 || !read_half (text.data, &left) ||
      !read_half (text.data + 2 * (gsize)HALF, &right))
    return FALSE;
  for (guint8 round = ROUNDS; round-- > 0;) {
    const guint64 before = right ^ shuffle (secret, round, GUINT64_TO_LE (left));
    right = left;
    left = before;
  }
  if (left != 0 || right > G_MAXINT64)
    return FALSE;
  *offset = right;
  return TRUE;
}
