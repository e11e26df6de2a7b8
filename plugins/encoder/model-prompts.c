/* SPDX-License-Identifier: MIT */
#include "model-prompts.h"

#include "encoder-error.h"
#include "json-file.h"

static gboolean
read_prompt (const RagifyJsonFile *file, const json_t *prompts, const char *name, char **text, GError **error)
{
  const json_t *const prompt = json_object_get (prompts, name);

  if (prompt == NULL || json_is_null (prompt))
    return TRUE;
  if (!json_is_string (prompt))
    return ragify_json_file_fail (file, error, "prompt '%s': expected a string", name);
  if (*text == NULL && json_string_length (prompt) > 0)
    *text = g_strdup (json_string_value (prompt));
  return TRUE;
}

gboolean
ragify_model_prompts_read (const char *folder, RagifyModelPrompts *prompts, GError **error)
{
  RagifyModelPrompts found = { NULL, NULL };
  g_autoptr (RagifyJsonFile) file = NULL;
  const json_t *list;

  if (!ragify_json_file_read_optional (folder, "config_sentence_transformers.json", &file, error))
    return FALSE;
  list = file == NULL ? NULL : json_object_get (ragify_json_file_get_root (file), "prompts");
  if (!read_prompt (file, list, "query", &found.query, error) ||
      !read_prompt (file, list, "document", &found.document, error) ||
      !read_prompt (file, list, "passage", &found.document, error)) {
    ragify_model_prompts_clear (&found);
    return FALSE;
  }
  *prompts = found;
  return TRUE;
}

void
ragify_model_prompts_clear (RagifyModelPrompts *prompts)
{
  g_clear_pointer (&prompts->query, g_free);
  g_clear_pointer (&prompts->document, g_free);
}
