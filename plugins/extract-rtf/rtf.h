/* The text of Rich Text Format files (RTF 1.9.1). */
#pragma once

#include "extraction.h"

/* Emits the pieces; `*title` is the one of the file's properties, NULL: it has none; free with g_free. FALSE where it
 * does not begin as RTF does. What is damaged further on ends there. */
gboolean rtf_text (const char *data, gsize size, RagifyPieces *pieces, char **title);
