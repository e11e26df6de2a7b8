/* The host's side of RagifyStream: whoever feeds a plugin embeds this.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <ragify/ragify.h>

struct RagifyStream {
  /* As RagifyHost.stream_read. [worker] */
  int64_t (*read) (RagifyStream *stream, uint8_t *data, uint64_t capacity);
};
