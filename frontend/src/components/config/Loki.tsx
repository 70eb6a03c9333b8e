// Where logs are read: Loki's address and authentication, in Grafana's own settings, so that they are provisioned and
// stored like any other data source's.

import { Auth, AuthMethod, ConfigSection, convertLegacyAuthProps } from '@grafana/plugin-ui';
import { Input } from '@grafana/ui';
import React from 'react';
import type { Form } from '../../form';
import { text } from '../../text';
import { Labelled, NumberSetting, SecretSetting, TextSetting } from './fields';

const BEARER = 'custom-bearer';
const SECRET = 'bearerToken';

export function Loki({ form }: { form: Form }) {
  const { options } = form;
  return (
    <>
      <ConfigSection title={text.config.loki.title} description={text.config.loki.description}>
        <Labelled name="url">
          {(id) => (
            <Input
              id={id}
              width={48}
              disabled={form.readOnly}
              placeholder="http://loki:3100"
              value={options.url ?? ''}
              onChange={(event) => form.change({ ...options, url: event.currentTarget.value })}
            />
          )}
        </Labelled>
        <TextSetting form={form} name="orgId" />
        <NumberSetting form={form} name="timeout" placeholder="30" />
      </ConfigSection>
      <Auth {...authentication(form)} />
    </>
  );
}

/** Grafana's usual methods, and a bearer token. */
function authentication(form: Form) {
  const { options } = form;
  const usual = convertLegacyAuthProps({
    config: options,
    onChange: (config) => form.change({ ...options, ...config }),
  });
  const bearer = form.isConfigured(SECRET) || options.secureJsonData?.[SECRET] !== undefined;
  const without = (fields: Record<string, unknown>) => {
    const { [SECRET]: _, ...rest } = fields;
    return rest;
  };
  return {
    ...usual,
    selectedMethod: bearer ? (BEARER as typeof BEARER) : usual.selectedMethod,
    visibleMethods: [AuthMethod.NoAuth, AuthMethod.BasicAuth, AuthMethod.OAuthForward, BEARER as typeof BEARER],
    customMethods: [
      {
        id: BEARER as typeof BEARER,
        label: text.config.bearer.label,
        description: text.config.bearer.description,
        component: <SecretSetting form={form} name={SECRET} />,
      },
    ],
    onAuthMethodSelect: (method: AuthMethod | `custom-${string}`) => {
      const chosen = method === BEARER;
      const secrets = without(options.secureJsonData ?? {}) as Record<string, string>;
      form.change({
        ...options,
        basicAuth: method === AuthMethod.BasicAuth,
        withCredentials: false,
        jsonData: { ...options.jsonData, oauthPassThru: method === AuthMethod.OAuthForward } as typeof options.jsonData,
        // An empty text tells Grafana to forget a stored token.
        secureJsonData: chosen || form.isConfigured(SECRET) ? { ...secrets, [SECRET]: '' } : secrets,
        secureJsonFields: { ...options.secureJsonFields, [SECRET]: false },
      });
    },
  };
}
