/* SPDX-License-Identifier: MIT */
#include "rtf.h"

#include <stdlib.h>
#include <string.h>

#define DEEPEST 1000u
#define MOST_FONTS 100000

typedef enum { BODY, SKIPPED, FONTS, INFO, TITLE } Destination;

/* What a group has, and gives back at its end. */
typedef struct Group {
  Destination destination;
  guint unicode_skip; /* characters after \u that stand for it */
  guint codepage;
  int font;
} Group;

typedef struct Rtf {
  const char *place, *end;
  RagifyPieces *pieces;
  GArray *groups;
  Group now;
  GHashTable *fonts; /* number → code page */
  guint codepage;    /* of the file */
  GString *bytes;    /* of the run under way, in `now.codepage` */
  GString *title;
  guint to_skip, level;
  guint16 high; /* the first half of a surrogate pair */
} Rtf;

static gboolean
shows (const Rtf *rtf)
{
  return rtf->now.destination == BODY || rtf->now.destination == TITLE;
}

static void
add (Rtf *rtf, const char *text, gsize size)
{
  if (rtf->now.destination == TITLE)
    g_string_append_len (rtf->title, text, (gssize)size);
  else if (rtf->now.destination == BODY)
    ragify_pieces_add (rtf->pieces, text, size);
}

static void
flush (Rtf *rtf)
{
  char encoding[16];
  gsize size = 0;
  if (rtf->bytes->len == 0)
    return;
  g_snprintf (encoding, sizeof encoding, "CP%u", rtf->now.codepage);
  g_autofree char *text =
      g_convert_with_fallback (rtf->bytes->str, (gssize)rtf->bytes->len, "UTF-8", encoding, "?", NULL, &size, NULL);
  if (text == NULL)
    text = g_convert_with_fallback (rtf->bytes->str, (gssize)rtf->bytes->len, "UTF-8", "ISO-8859-1", "?", NULL, &size,
                                    NULL);
  if (text != NULL)
    add (rtf, text, size);
  g_string_truncate (rtf->bytes, 0);
}

static void
take_byte (Rtf *rtf, char byte)
{
  if (rtf->to_skip > 0)
    rtf->to_skip--;
  else if (shows (rtf))
    g_string_append_c (rtf->bytes, byte);
}

static void
take_character (Rtf *rtf, gunichar character)
{
  char text[6];
  flush (rtf);
  add (rtf, text, (gsize)g_unichar_to_utf8 (character, text));
}

/* \uN: a UTF-16 unit, as a signed number. */
static void
take_unicode (Rtf *rtf, int number)
{
  const guint16 unit = (guint16)number;
  rtf->to_skip = rtf->now.unicode_skip;
  if (!shows (rtf))
    return;
  if (unit >= 0xd800 && unit < 0xdc00) {
    rtf->high = unit;
    return;
  }
  gunichar character = unit;
  if (unit >= 0xdc00 && unit < 0xe000)
    character = rtf->high != 0 ? 0x10000 + ((gunichar)(rtf->high - 0xd800) << 10) + (unit - 0xdc00u) : 0xfffd;
  rtf->high = 0;
  if (character != 0)
    take_character (rtf, character);
}

static void
end_paragraph (Rtf *rtf)
{
  flush (rtf);
  if (rtf->now.destination == BODY)
    ragify_pieces_end (rtf->pieces, rtf->level);
}

/* ---- fonts and code pages ---- */

static guint
codepage_of_charset (int charset)
{
  static const struct {
    int charset;
    guint codepage;
  } table[] = { { 0, 1252 },   { 77, 10000 }, { 128, 932 },  { 129, 949 },  { 134, 936 },  { 136, 950 },
                { 161, 1253 }, { 162, 1254 }, { 163, 1258 }, { 177, 1255 }, { 178, 1256 }, { 186, 1257 },
                { 204, 1251 }, { 222, 874 },  { 238, 1250 }, { 254, 437 },  { 255, 850 } };
  for (gsize i = 0; i < G_N_ELEMENTS (table); i++)
    if (table[i].charset == charset)
      return table[i].codepage;
  return 0;
}

static void
take_font (Rtf *rtf, int number)
{
  if (rtf->now.destination == FONTS) {
    rtf->now.font = number;
    return;
  }
  const guint codepage = GPOINTER_TO_UINT (g_hash_table_lookup (rtf->fonts, GINT_TO_POINTER (number)));
  flush (rtf);
  rtf->now.codepage = codepage != 0 ? codepage : rtf->codepage;
}

static void
take_charset (Rtf *rtf, int charset)
{
  const guint codepage = codepage_of_charset (charset);
  if (rtf->now.destination == FONTS && codepage != 0 && g_hash_table_size (rtf->fonts) < MOST_FONTS)
    g_hash_table_insert (rtf->fonts, GINT_TO_POINTER (rtf->now.font), GUINT_TO_POINTER (codepage));
}

static void
take_codepage (Rtf *rtf, int number)
{
  flush (rtf);
  rtf->codepage = number > 0 && number < 65536 ? (guint)number : 1252;
  rtf->now.codepage = rtf->codepage;
}

/* ---- control words ---- */

static gboolean
is_skipped (const char *word)
{
  static const char *const words[] = { "colortbl",
                                       "stylesheet",
                                       "pict",
                                       "object",
                                       "header",
                                       "headerl",
                                       "headerr",
                                       "headerf",
                                       "footer",
                                       "footerl",
                                       "footerr",
                                       "footerf",
                                       "filetbl",
                                       "listtable",
                                       "revtbl",
                                       "rsidtbl",
                                       "generator",
                                       "themedata",
                                       "datastore",
                                       "fldinst",
                                       "xmlnstbl",
                                       "nonshppict",
                                       "datafield",
                                       "colorschememapping",
                                       "listoverridetable",
                                       "latentstyles",
                                       "annotation",
                                       "private",
                                       "bkmkstart",
                                       "bkmkend",
                                       NULL };
  return g_strv_contains (words, word);
}

static gboolean
take_destination (Rtf *rtf, const char *word)
{
  if (is_skipped (word))
    rtf->now.destination = SKIPPED;
  else if (strcmp (word, "fonttbl") == 0)
    rtf->now.destination = FONTS;
  else if (strcmp (word, "info") == 0)
    rtf->now.destination = INFO;
  else if (strcmp (word, "title") == 0 && rtf->now.destination == INFO)
    rtf->now.destination = TITLE;
  else
    return FALSE;
  return TRUE;
}

static gboolean
take_mark (Rtf *rtf, const char *word)
{
  static const struct {
    const char *word;
    gunichar character;
  } marks[] = { { "tab", ' ' },          { "line", ' ' },      { "cell", ' ' },      { "emdash", 0x2014 },
                { "endash", 0x2013 },    { "lquote", 0x2018 }, { "rquote", 0x2019 }, { "ldblquote", 0x201c },
                { "rdblquote", 0x201d }, { "bullet", 0x2022 }, { "emspace", ' ' },   { "enspace", ' ' } };
  for (gsize i = 0; i < G_N_ELEMENTS (marks); i++)
    if (strcmp (word, marks[i].word) == 0) {
      if (rtf->to_skip > 0)
        rtf->to_skip--;
      else
        take_character (rtf, marks[i].character);
      return TRUE;
    }
  return FALSE;
}

static void
take_word (Rtf *rtf, const char *word, gboolean has_number, int number)
{
  if (take_destination (rtf, word) || take_mark (rtf, word))
    return;
  if (strcmp (word, "par") == 0 || strcmp (word, "sect") == 0 || strcmp (word, "page") == 0 ||
      strcmp (word, "row") == 0)
    end_paragraph (rtf);
  else if (strcmp (word, "pard") == 0)
    rtf->level = 0;
  else if (strcmp (word, "outlinelevel") == 0)
    rtf->level = has_number && number >= 0 && number < 6 ? (guint)number + 1 : 0;
  else if (strcmp (word, "u") == 0 && has_number)
    take_unicode (rtf, number);
  else if (strcmp (word, "uc") == 0)
    rtf->now.unicode_skip = has_number ? (guint)CLAMP (number, 0, 16) : 1;
  else if (strcmp (word, "ansicpg") == 0)
    take_codepage (rtf, number);
  else if (strcmp (word, "f") == 0 && has_number)
    take_font (rtf, number);
  else if (strcmp (word, "fcharset") == 0)
    take_charset (rtf, number);
  else if (strcmp (word, "bin") == 0 && number > 0)
    rtf->place += MIN ((gsize)number, (gsize)(rtf->end - rtf->place));
}

static void
read_word (Rtf *rtf)
{
  char word[33];
  gsize length = 0;
  int number = 0;
  gboolean minus = FALSE, has_number = FALSE;
  while (rtf->place < rtf->end && g_ascii_isalpha (*rtf->place) && length < sizeof word - 1)
    word[length++] = *rtf->place++;
  word[length] = '\0';
  if (rtf->place < rtf->end && *rtf->place == '-') {
    minus = TRUE;
    rtf->place++;
  }
  for (; rtf->place < rtf->end && g_ascii_isdigit (*rtf->place); rtf->place++) {
    has_number = TRUE;
    number = number < 100000000 ? number * 10 + (*rtf->place - '0') : number;
  }
  if (rtf->place < rtf->end && *rtf->place == ' ')
    rtf->place++;
  take_word (rtf, word, has_number, minus ? -number : number);
}

/* Behind a backslash. */
static void
read_control (Rtf *rtf)
{
  const char symbol = *rtf->place;
  if (g_ascii_isalpha (symbol)) {
    read_word (rtf);
    return;
  }
  rtf->place++;
  if (symbol == '\'' && rtf->end - rtf->place >= 2) {
    const int high = g_ascii_xdigit_value (rtf->place[0]), low = g_ascii_xdigit_value (rtf->place[1]);
    rtf->place += 2;
    if (high >= 0 && low >= 0)
      take_byte (rtf, (char)(high << 4 | low));
  } else if (symbol == '\\' || symbol == '{' || symbol == '}')
    take_byte (rtf, symbol);
  else if (symbol == '~')
    take_character (rtf, ' ');
  else if (symbol == '_')
    take_character (rtf, '-');
  else if (symbol == '\n' || symbol == '\r')
    end_paragraph (rtf);
  else if (symbol == '*' && rtf->place[-3] == '{') /* elsewhere it means nothing */
    rtf->now.destination = SKIPPED;
}

/* FALSE: there is no more, or the groups are too deep. */
static gboolean
step (Rtf *rtf)
{
  if (rtf->place >= rtf->end || rtf->pieces->stopped)
    return FALSE;
  const char symbol = *rtf->place++;
  if (symbol == '{') {
    flush (rtf);
    g_array_append_val (rtf->groups, rtf->now);
    return rtf->groups->len <= DEEPEST;
  }
  if (symbol == '}') {
    flush (rtf);
    rtf->to_skip = 0;
    if (rtf->groups->len == 0)
      return FALSE;
    rtf->now = g_array_index (rtf->groups, Group, rtf->groups->len - 1);
    g_array_set_size (rtf->groups, rtf->groups->len - 1);
    return rtf->groups->len > 0;
  }
  if (symbol == '\\' && rtf->place < rtf->end)
    read_control (rtf);
  else if (symbol != '\n' && symbol != '\r' && symbol != '\0')
    take_byte (rtf, symbol);
  return TRUE;
}

gboolean
rtf_text (const char *data, gsize size, RagifyPieces *pieces, char **title)
{
  *title = NULL;
  if (size < 6 || memcmp (data, "{\\rtf", 5) != 0)
    return FALSE;
  Rtf rtf = { .place = data,
              .end = data + size,
              .pieces = pieces,
              .groups = g_array_new (FALSE, FALSE, sizeof (Group)),
              .now = { .unicode_skip = 1, .codepage = 1252 },
              .fonts = g_hash_table_new (NULL, NULL),
              .codepage = 1252,
              .bytes = g_string_new (NULL),
              .title = g_string_new (NULL) };
  while (step (&rtf)) {
  }
  flush (&rtf);
  ragify_pieces_end (pieces, rtf.level);
  *title = g_strstrip (g_string_free (rtf.title, FALSE));
  if (**title == '\0')
    g_clear_pointer (title, g_free);
  g_array_unref (rtf.groups);
  g_hash_table_unref (rtf.fonts);
  g_string_free (rtf.bytes, TRUE);
  return TRUE;
}
