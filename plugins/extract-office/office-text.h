/* The text of office files: WordprocessingML (docx) and OpenDocument (odt). */
#pragma once

#include "extraction.h"
#include "package.h"

/* Emits the pieces. FALSE with the fault. `*title` is NULL where the file has none; free with g_free. */
gboolean office_text (OfficePackage *package, RagifyPieces *pieces, char **title, RagifyFault *fault);
