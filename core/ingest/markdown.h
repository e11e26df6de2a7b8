/* Markdown (CommonMark) as sections, each with the headings that it stands under.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <jansson.h>

#include "core/ingest/document.h"

/* The sections of `text`, in order, from one heading to the next; one that holds nothing but its heading is part of the
 * next. The metadata of each is `metadata` (an object) with the member `headings`: a list, the outermost first. A front
 * matter between lines of "---" is left out. `*title`: the first heading of the first level, or NULL; free with g_free.
 * Free with g_array_unref. */
GArray *ragify_markdown_sections (const char *text, gsize size, const json_t *metadata, char **title);
