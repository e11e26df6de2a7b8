#include "fault.h"

#include <stdarg.h>
#include <stdio.h>

bool
ragify_fault_set (RagifyFault *fault, int32_t code, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  fault->code = code;
  (void)vsnprintf (fault->message, sizeof fault->message, format, arguments);
  va_end (arguments);
  return false;
}

bool
ragify_fault_memory (RagifyFault *fault)
{
  return ragify_fault_set (fault, RAGIFY_E_EXHAUSTED, "memory is exhausted");
}
