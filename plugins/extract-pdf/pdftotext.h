/* Poppler's pdftotext, as a process of its own: it is GPL, and what it reads is not to be trusted. */
#pragma once

#include "fault.h"

#include <glib.h>

typedef struct PdfLimits {
  guint64 memory;      /* bytes of address space; 0: no bound */
  guint64 deadline_us; /* monotonic, as g_get_monotonic_time */
  guint64 most;        /* bytes of text */
} PdfLimits;

/* The text of a PDF in UTF-8, pages ended by form feeds; NULL and the fault where there is none to be had. */
GString *pdf_to_text (const char *command, const guint8 *data, gsize size, const PdfLimits *limits, RagifyFault *fault);
