/* SPDX-License-Identifier: MIT */
#include "character.h"

typedef struct {
  guint32 first;
  guint32 last;
} Range;

/* Marks, punctuation and format characters of newer Unicode versions that the reference takes for letters; found by
 * asking it about every character. */
static const Range letters_to_the_reference[] = {
  { 0x61d, 0x61d },     { 0x7fd, 0x7fd },     { 0x890, 0x891 },     { 0x898, 0x89f },     { 0x8ca, 0x8e2 },
  { 0x9fd, 0x9fe },     { 0xa76, 0xa76 },     { 0xafa, 0xaff },     { 0xb55, 0xb55 },     { 0xc04, 0xc04 },
  { 0xc3c, 0xc3c },     { 0xc77, 0xc77 },     { 0xc84, 0xc84 },     { 0xd00, 0xd00 },     { 0xd3b, 0xd3c },
  { 0xd81, 0xd81 },     { 0xeba, 0xeba },     { 0xece, 0xece },     { 0x180f, 0x180f },   { 0x1885, 0x1886 },
  { 0x1abf, 0x1ace },   { 0x1b7d, 0x1b7e },   { 0x1df6, 0x1dfb },   { 0x2e43, 0x2e4f },   { 0x2e52, 0x2e5d },
  { 0xa82c, 0xa82c },   { 0xa8c5, 0xa8c5 },   { 0xa8ff, 0xa8ff },   { 0xa9bd, 0xa9bd },   { 0x10d24, 0x10d27 },
  { 0x10eab, 0x10ead }, { 0x10efd, 0x10eff }, { 0x10f46, 0x10f50 }, { 0x10f55, 0x10f59 }, { 0x10f82, 0x10f89 },
  { 0x11070, 0x11070 }, { 0x11073, 0x11074 }, { 0x110c2, 0x110c2 }, { 0x110cd, 0x110cd }, { 0x111c9, 0x111c9 },
  { 0x111cf, 0x111cf }, { 0x1123e, 0x1123e }, { 0x11241, 0x11241 }, { 0x1133b, 0x1133b }, { 0x11438, 0x1143f },
  { 0x11442, 0x11444 }, { 0x11446, 0x11446 }, { 0x1144b, 0x1144f }, { 0x1145a, 0x1145b }, { 0x1145d, 0x1145e },
  { 0x11660, 0x1166c }, { 0x116b9, 0x116b9 }, { 0x1182f, 0x11837 }, { 0x11839, 0x1183b }, { 0x1193b, 0x1193c },
  { 0x1193e, 0x1193e }, { 0x11943, 0x11946 }, { 0x119d4, 0x119d7 }, { 0x119da, 0x119db }, { 0x119e0, 0x119e0 },
  { 0x119e2, 0x119e2 }, { 0x11a01, 0x11a0a }, { 0x11a33, 0x11a38 }, { 0x11a3b, 0x11a47 }, { 0x11a51, 0x11a56 },
  { 0x11a59, 0x11a5b }, { 0x11a8a, 0x11a96 }, { 0x11a98, 0x11a9c }, { 0x11a9e, 0x11aa2 }, { 0x11b00, 0x11b09 },
  { 0x11c30, 0x11c36 }, { 0x11c38, 0x11c3d }, { 0x11c3f, 0x11c3f }, { 0x11c41, 0x11c45 }, { 0x11c70, 0x11c71 },
  { 0x11c92, 0x11ca7 }, { 0x11caa, 0x11cb0 }, { 0x11cb2, 0x11cb3 }, { 0x11cb5, 0x11cb6 }, { 0x11d31, 0x11d36 },
  { 0x11d3a, 0x11d3a }, { 0x11d3c, 0x11d3d }, { 0x11d3f, 0x11d45 }, { 0x11d47, 0x11d47 }, { 0x11d90, 0x11d91 },
  { 0x11d95, 0x11d95 }, { 0x11d97, 0x11d97 }, { 0x11ef3, 0x11ef4 }, { 0x11ef7, 0x11ef8 }, { 0x11f00, 0x11f01 },
  { 0x11f36, 0x11f3a }, { 0x11f40, 0x11f40 }, { 0x11f42, 0x11f4f }, { 0x11fff, 0x11fff }, { 0x12ff1, 0x12ff2 },
  { 0x13430, 0x13440 }, { 0x13447, 0x13455 }, { 0x16e97, 0x16e9a }, { 0x16f4f, 0x16f4f }, { 0x16fe2, 0x16fe2 },
  { 0x16fe4, 0x16fe4 }, { 0x1cf00, 0x1cf2d }, { 0x1cf30, 0x1cf46 }, { 0x1e000, 0x1e006 }, { 0x1e008, 0x1e018 },
  { 0x1e01b, 0x1e021 }, { 0x1e023, 0x1e024 }, { 0x1e026, 0x1e02a }, { 0x1e08f, 0x1e08f }, { 0x1e130, 0x1e136 },
  { 0x1e2ae, 0x1e2ae }, { 0x1e2ec, 0x1e2ef }, { 0x1e4ec, 0x1e4ef }, { 0x1e944, 0x1e94a }, { 0x1e95e, 0x1e95f },
};

static const Range ideographs[] = {
  { 0x3400, 0x4dbf },   { 0x4e00, 0x9fff },   { 0xf900, 0xfaff },   { 0x20000, 0x2a6df },
  { 0x2a700, 0x2b81f }, { 0x2b920, 0x2ceaf }, { 0x2f800, 0x2fa1f },
};

static gboolean
is_in (const Range *ranges, gsize count, gunichar c)
{
  gsize low = 0;
  gsize high = count;

  while (low < high) {
    const gsize middle = (low + high) / 2;

    if (c > ranges[middle].last)
      low = middle + 1;
    else if (c < ranges[middle].first)
      high = middle;
    else
      return TRUE;
  }
  return FALSE;
}

static gboolean
is_letter_to_the_reference (gunichar c)
{
  return is_in (letters_to_the_reference, G_N_ELEMENTS (letters_to_the_reference), c);
}

gboolean
ragify_character_is_control (gunichar c)
{
  if (c < 0x80)
    return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
  switch (g_unichar_type (c)) {
  case G_UNICODE_CONTROL:
  case G_UNICODE_PRIVATE_USE:
    return TRUE;
  case G_UNICODE_FORMAT:
    return !is_letter_to_the_reference (c);
  default:
    return c == 0xfffd;
  }
}

gboolean
ragify_character_is_space (gunichar c)
{
  if (c < 0x80)
    return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
         c == 0x202f || c == 0x205f || c == 0x3000;
}

gboolean
ragify_character_is_punctuation (gunichar c)
{
  if (c < 0x80)
    return g_ascii_isgraph ((char)c) && !g_ascii_isalnum ((char)c);
  switch (g_unichar_type (c)) {
  case G_UNICODE_CONNECT_PUNCTUATION:
  case G_UNICODE_DASH_PUNCTUATION:
  case G_UNICODE_CLOSE_PUNCTUATION:
  case G_UNICODE_FINAL_PUNCTUATION:
  case G_UNICODE_INITIAL_PUNCTUATION:
  case G_UNICODE_OTHER_PUNCTUATION:
  case G_UNICODE_OPEN_PUNCTUATION:
    return !is_letter_to_the_reference (c);
  default:
    return c == 0x166d || c == 0x111c9; /* punctuation until Unicode 8 */
  }
}

gboolean
ragify_character_is_accent (gunichar c)
{
  if (c < 0x300)
    return FALSE;
  if (g_unichar_type (c) != G_UNICODE_NON_SPACING_MARK)
    return c == 0x1734; /* a nonspacing mark until Unicode 8 */
  return !is_letter_to_the_reference (c);
}

gboolean
ragify_character_is_ideograph (gunichar c)
{
  return c >= ideographs[0].first && is_in (ideographs, G_N_ELEMENTS (ideographs), c);
}

gsize
ragify_character_to_lower (gunichar c, gunichar lower[2])
{
  lower[0] = g_unichar_tolower (c);
  if (c == 0x130) { /* the one character whose lower case is two */
    lower[0] = 'i';
    lower[1] = 0x307;
    return 2;
  }
  if (c >= 0x2160 && c <= 0x216f) /* Roman numerals and circled letters have case, though they are no letters */
    lower[0] = c + 16;
  else if (c >= 0x24b6 && c <= 0x24cf)
    lower[0] = c + 26;
  return 1;
}
