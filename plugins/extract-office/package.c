/* SPDX-License-Identifier: MIT */
#include "package.h"

#include <archive.h>
#include <archive_entry.h>
#include <ragify/ragify.h>
#include <string.h>

#define DEEPEST 250 /* elements inside each other */

typedef struct Part {
  OfficePackage *package;
  struct archive *archive;
  gboolean too_large;
} Part;

static int
read_part (void *user, char *buffer, int capacity)
{
  Part *part = user;
  const la_ssize_t got = archive_read_data (part->archive, buffer, (size_t)capacity);
  if (got <= 0)
    return (int)MAX (got, -1);
  if ((guint64)got > part->package->left) {
    part->too_large = TRUE;
    return -1;
  }
  part->package->left -= (guint64)got;
  return (int)got;
}

static int
close_part (void *user)
{
  return 0;
}

static void
ignore (void *user, const char *message, xmlParserSeverities severity, xmlTextReaderLocatorPtr place)
{
}

static gboolean
find_part (struct archive *archive, const char *name)
{
  struct archive_entry *entry = NULL;
  for (guint i = 0; i < 100000 && archive_read_next_header (archive, &entry) == ARCHIVE_OK; i++) {
    const char *path = archive_entry_pathname (entry);
    if (path != NULL && strcmp (path, name) == 0)
      return TRUE;
  }
  return FALSE;
}

static OfficeOutcome
visit_part (Part *part, const char *name, OfficeVisit visit, void *user, RagifyFault *fault)
{
  xmlTextReaderPtr reader = xmlReaderForIO (read_part, close_part, part, NULL, NULL,
                                            XML_PARSE_NONET | XML_PARSE_NOWARNING | XML_PARSE_NOERROR);
  int more = -1; /* −1: it cannot be read on */
  OfficeOutcome outcome = OFFICE_VISITED;
  if (reader != NULL)
    xmlTextReaderSetErrorHandler (reader, ignore, NULL);
  while (reader != NULL && outcome == OFFICE_VISITED && (more = xmlTextReaderRead (reader)) == 1) {
    if (xmlTextReaderNodeType (reader) == XML_READER_TYPE_DOCUMENT_TYPE) {
      ragify_fault_set (fault, RAGIFY_E_INVALID, "%s has a document type declaration, which office files do not have",
                        name);
      outcome = OFFICE_FAILED;
    } else if (xmlTextReaderDepth (reader) > DEEPEST || !visit (reader, user)) {
      break;
    }
  }
  if (part->too_large) {
    ragify_fault_set (fault, RAGIFY_E_INVALID, "unpacks to more than max-size");
    outcome = OFFICE_FAILED;
  } else if (more < 0 && outcome == OFFICE_VISITED) {
    ragify_fault_set (fault, RAGIFY_E_INVALID, "%s cannot be unpacked, or is not well-formed XML", name);
    outcome = OFFICE_FAILED;
  }
  if (reader != NULL)
    xmlFreeTextReader (reader);
  return outcome;
}

OfficeOutcome
office_package_read (OfficePackage *package, const char *name, OfficeVisit visit, void *user, RagifyFault *fault)
{
  Part part = { .package = package, .archive = archive_read_new () };
  OfficeOutcome outcome = OFFICE_ABSENT;
  archive_read_support_format_zip (part.archive);
  if (archive_read_open_memory (part.archive, package->data, package->size) != ARCHIVE_OK) {
    ragify_fault_set (fault, RAGIFY_E_INVALID, "is no archive that can be opened: it may be encrypted, or damaged");
    outcome = OFFICE_FAILED;
  } else if (find_part (part.archive, name))
    outcome = visit_part (&part, name, visit, user, fault);
  archive_read_free (part.archive);
  return outcome;
}
