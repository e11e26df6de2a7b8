/* Records of JSON files of any size, one after the other. */
#ifndef EXTRACT_JSON_RECORDS_H
#define EXTRACT_JSON_RECORDS_H

#include "record-text.h"

typedef struct JsonRecordsOptions {
  const RecordFields *fields;
  const char *records; /* the JSON pointer to the list, names only; "": the list is the whole, or each value is one */
  gsize max_record;    /* bytes */
  gboolean lines;      /* each line is one, whatever stands in the others */
} JsonRecordsOptions;

/* Reads the stream to its end. FALSE with the fault: it breaks off, or there is no such list. */
gboolean
json_records_give (const JsonRecordsOptions *options, RagifyStream *stream, RagifyPieces *pieces, RagifyFault *fault);
#endif
