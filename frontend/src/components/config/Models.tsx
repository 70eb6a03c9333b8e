// Servers of models: a name of models.toml, where it is served, and the key to it.

import { ConfigSection } from '@grafana/plugin-ui';
import { Stack } from '@grafana/ui';
import React, { useId } from 'react';
import { changeServer, type Form, modelKey } from '../../form';
import { filled, text } from '../../text';
import type { ModelServer } from '../../types';
import { Cell, NameSetting, RemoveButton, RowField, Rows, Secret } from './fields';

const words = text.config.models;

export function Models({ form }: { form: Form }) {
  const servers = form.settings.modelServers ?? [];
  return (
    <ConfigSection title={words.title} description={words.description}>
      <Stack direction="column" gap={1}>
        <Rows
          form={form}
          items={servers}
          add={words.add}
          blank={{ name: '', url: '' }}
          onChange={(next) => form.set('modelServers', next)}
          row={(server, index) => (
            <Server
              form={form}
              server={server}
              onChange={(next) => changeServer(form, index, next)}
              onRemove={() => remove(form, index)}
            />
          )}
        />
        <NameSetting
          form={form}
          name="defaultModel"
          names={['rules', ...servers.map(({ name }) => name)].filter(Boolean)}
        />
      </Stack>
    </ConfigSection>
  );
}

interface ServerProps {
  form: Form;
  server: ModelServer;
  onChange: (server: ModelServer) => void;
  onRemove: () => void;
}

function Server({ form, server, onChange, onRemove }: ServerProps) {
  const id = useId();
  const input = (field: keyof ModelServer, width: number, placeholder: string) => (
    <Cell
      form={form}
      label={words[field]}
      width={width}
      placeholder={placeholder}
      value={server[field]}
      onChange={(value) => onChange({ ...server, [field]: value })}
    />
  );
  return (
    <Stack alignItems="end" gap={1} wrap="wrap">
      {input('name', 22, 'qwen')}
      {input('url', 36, 'http://llama-server:8080')}
      <RowField label={words.key} id={`${id}-key`}>
        <Secret id={`${id}-key`} form={form} name={modelKey(server.name)} width={30} />
      </RowField>
      <RemoveButton
        form={form}
        label={filled(words.remove, { name: server.name || words.unnamed })}
        onClick={onRemove}
      />
    </Stack>
  );
}

/** Takes a server out, and its key with it. */
function remove(form: Form, index: number) {
  const servers = form.settings.modelServers ?? [];
  const secret = modelKey(servers[index]?.name ?? '');
  const { options } = form;
  form.change({
    ...options,
    jsonData: { ...options.jsonData, modelServers: servers.filter((_, at) => at !== index) },
    secureJsonFields: { ...options.secureJsonFields, [secret]: false },
    secureJsonData: { ...options.secureJsonData, [secret]: '' },
  });
}
