// Servers of models: a name of models.toml, where it is served, and the key to it.

import { ConfigSection } from '@grafana/plugin-ui';
import { Button, Field, Stack } from '@grafana/ui';
import React, { useId } from 'react';
import { type Form, modelKey } from '../../form';
import { text } from '../../text';
import type { ModelServer } from '../../types';
import { Cell, NameSetting, RemoveButton, Secret } from './fields';

const words = text.config.models;

export function Models({ form }: { form: Form }) {
  const servers = form.settings.modelServers ?? [];
  const change = (next: ModelServer[]) => form.set('modelServers', next);
  return (
    <ConfigSection title={words.title} description={words.description}>
      <Stack direction="column" gap={1}>
        {servers.map((server, index) => (
          <Server
            // biome-ignore lint/suspicious/noArrayIndexKey: a server has nothing else that stays while its name is typed
            key={index}
            form={form}
            server={server}
            onChange={(next) => change(servers.map((other, at) => (at === index ? next : other)))}
            onRemove={() => remove(form, index)}
          />
        ))}
        <div>
          <Button
            variant="secondary"
            icon="plus"
            size="sm"
            disabled={form.readOnly}
            onClick={() => change([...servers, { name: '', url: '' }])}
          >
            {words.add}
          </Button>
        </div>
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
      <Field label={words.key} htmlFor={`${id}-key`} noMargin>
        <Secret id={`${id}-key`} form={form} name={modelKey(server.name)} width={30} />
      </Field>
      <RemoveButton form={form} label={words.remove(server.name)} onClick={onRemove} />
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
