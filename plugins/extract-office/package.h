/* The parts of an office file, which is a ZIP archive of XML. */
#pragma once

#include "fault.h"

#include <glib.h>
#include <libxml/xmlreader.h>

typedef struct OfficePackage {
  const guint8 *data;
  gsize size;
  guint64 left; /* bytes that may yet be unpacked, of all parts together */
} OfficePackage;

/* What a part's reader is given to; FALSE: it wants no more. */
typedef gboolean (*OfficeVisit) (xmlTextReaderPtr reader, void *user);

typedef enum { OFFICE_VISITED, OFFICE_ABSENT, OFFICE_FAILED } OfficeOutcome;

/* Visits each node of the part `name`, in document order. FAILED, with the fault, where it cannot be read to its end,
 * has a document type, or is too large. */
OfficeOutcome
office_package_read (OfficePackage *package, const char *name, OfficeVisit visit, void *user, RagifyFault *fault);
