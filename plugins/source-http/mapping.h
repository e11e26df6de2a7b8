/* From a service's answer to passages: which members of its JSON mean what.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every member is named by JSON pointers (RFC 6901), the first that is there counts. [any]
 */
#pragma once

#include "fault.h"

#include <glib.h>
#include <ragify/ragify.h>

typedef struct HttpMapping HttpMapping;

/* Reads the keys `format`, `results-pointer`, `id-pointer`, … NULL with a fault. */
HttpMapping *http_mapping_new (const RagifyHost *host, RagifyContext *context, RagifyFault *fault);
void http_mapping_free (HttpMapping *mapping);

/* What to ask for: a media type. */
const char *http_mapping_accept (const HttpMapping *mapping);

/* At most `limit` passages of an answer, in its order, in memory of the call's. `*unusable`: results without text, or
 * lines that are no JSON. Fails where the answer is not what was described, or where nothing in it could be used. */
gboolean http_mapping_read (const HttpMapping *mapping, const RagifyHost *host, RagifyCall *call, RagifyBytes answer,
                            guint limit, RagifyChunkList *chunks, guint *unusable, RagifyFault *fault);
