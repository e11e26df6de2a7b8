/*
 * Characters as the BERT tokenizer of Hugging Face sorts them. Its tables are of Unicode 8: marks, punctuation and
 * format characters that came later are letters to it, and so they are here, since a model has to see in use what it
 * saw in training. All functions are [any] and take a Unicode scalar value.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CHARACTER_H
#define RAGIFY_CHARACTER_H

#include <glib.h>

/* Control, format and private-use characters and U+FFFD: what cleaning removes. Tab and line ends are not among them.
 */
gboolean ragify_character_is_control (gunichar c);

/* What separates words: White_Space of the Unicode character database. */
gboolean ragify_character_is_space (gunichar c);

/* ASCII symbols, and the general categories P*. */
gboolean ragify_character_is_punctuation (gunichar c);

/* An accent once decomposed: the general category Mn. */
gboolean ragify_character_is_accent (gunichar c);

/* The CJK ideographs, each of which is a word of its own. */
gboolean ragify_character_is_ideograph (gunichar c);

/* The lower case by the full mapping: one or two characters into `lower`; returns how many. */
gsize ragify_character_to_lower (gunichar c, gunichar lower[2]);

#endif
