/* Records of CSV files (RFC 4180, and what is near it) of any size, one after the other. */
#ifndef EXTRACT_CSV_RECORDS_H
#define EXTRACT_CSV_RECORDS_H

#include "record-text.h"

typedef struct CsvRecordsOptions {
  const RecordFields *fields;
  char delimiter;       /* 0: found out from the first line */
  gboolean header;      /* the first record names the columns; otherwise they are "1", "2", … */
  gsize max_record;     /* bytes */
  const char *encoding; /* of what is not UTF-8 */
} CsvRecordsOptions;

/* Reads the stream to its end. FALSE with the fault: it breaks off, or has no columns. */
gboolean
csv_records_give (const CsvRecordsOptions *options, RagifyStream *stream, RagifyPieces *pieces, RagifyFault *fault);
#endif
