/* A record as text: which fields are its content, its title and its metadata. */
#ifndef EXTRACT_RECORD_TEXT_H
#define EXTRACT_RECORD_TEXT_H

#include "extraction.h"

#include <jansson.h>

/* Names of members, or JSON pointers to what is inside of them. */
typedef struct RecordFields {
  char **content; /* ended by NULL; none: content, text or body, or else all that is there */
  char *title;    /* NULL: a member `title` */
  char **metadata;
} RecordFields;

/* From the keys `content`, `title` and `metadata`. FALSE: one is not a pointer although it begins as one. */
gboolean record_fields_read (RecordFields *fields, const RagifyHost *host, RagifyContext *context, RagifyFault *fault);
void record_fields_clear (RecordFields *fields);

/* Gives an object that begins on this line of the file as pieces of its own; one without text is left out. */
void record_text_give (const RecordFields *fields, const json_t *record, guint64 line, RagifyPieces *pieces);
/* A record that cannot be taken. */
void record_text_leave_out (RagifyPieces *pieces, guint64 line, const char *reason);
#endif
