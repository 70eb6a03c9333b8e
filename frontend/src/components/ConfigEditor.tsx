// The settings of a data source, in the order in which a person needs them: logs, models, store, then what has defaults.

import type { DataSourcePluginOptionsEditorProps } from '@grafana/data';
import { ConfigSection } from '@grafana/plugin-ui';
import { DataSourcePicker } from '@grafana/runtime';
import { Divider } from '@grafana/ui';
import React from 'react';
import { type Form, form as formOf } from '../form';
import { text } from '../text';
import type { Guard, Secrets, Settings } from '../types';
import { Bounded, Labelled, NumberSetting, OneOf, SecretSetting, TextSetting, Toggle } from './config/fields';
import { Health } from './config/Health';
import { Loki } from './config/Loki';
import { Models } from './config/Models';
import { Questions } from './config/Questions';

type Props = DataSourcePluginOptionsEditorProps<Settings, Secrets>;

const words = text.config;

export function ConfigEditor(props: Props) {
  const form = formOf(props);
  const sections = [Loki, Models, Store, Analysis, Questions, GuardSection, Redaction, Links, Telemetry, Health];
  return (
    <>
      {sections.map((Section, index) => (
        <React.Fragment key={Section.name}>
          {index > 0 && <Divider spacing={4} />}
          <Section form={form} />
        </React.Fragment>
      ))}
    </>
  );
}

function Store({ form }: { form: Form }) {
  const bucket = form.settings.storeUrl?.startsWith('s3://');
  return (
    <ConfigSection title={words.store.title} description={words.store.description}>
      <TextSetting form={form} name="storeUrl" placeholder="file:///var/lib/assay" />
      {bucket && (
        <>
          <TextSetting form={form} name="storeEndpoint" />
          <TextSetting form={form} name="storeRegion" placeholder="us-east-1" />
          <Toggle
            form={form}
            name="storePathStyle"
            value={form.settings.storePathStyle}
            onChange={(value) => form.set('storePathStyle', value)}
          />
          <SecretSetting form={form} name="storeAccessKey" />
          <SecretSetting form={form} name="storeSecretKey" />
        </>
      )}
      <TextSetting form={form} name="rootPath" placeholder="/usr/share/assay" />
      <TextSetting form={form} name="cachePath" />
    </ConfigSection>
  );
}

function Analysis({ form }: { form: Form }) {
  const { budget, maxLines, freshFor, maxAge, timeoutS, queue } = form.settings;
  const isSet = [budget, maxLines, freshFor, maxAge, timeoutS, queue].some((value) => value !== undefined);
  return (
    <ConfigSection
      title={words.analysis.title}
      description={words.analysis.description}
      isCollapsible
      isInitiallyOpen={isSet}
    >
      <NumberSetting form={form} name="budget" placeholder="1500" />
      <NumberSetting form={form} name="maxLines" placeholder="5000" />
      <NumberSetting form={form} name="freshFor" placeholder="300" />
      <NumberSetting form={form} name="maxAge" placeholder="3600" />
      <NumberSetting form={form} name="timeoutS" placeholder="120" />
      <NumberSetting form={form} name="queue" placeholder="32" />
    </ConfigSection>
  );
}

const MODES = (['off', 'warn', 'enforce'] as const).map((value) => ({ value, label: words.guardModes[value] }));

function GuardSection({ form }: { form: Form }) {
  const guard = form.settings.guard ?? {};
  const set = (change: Partial<Guard>) => form.set('guard', { ...guard, ...change });
  return (
    <ConfigSection
      title={words.guard.title}
      description={words.guard.description}
      isCollapsible
      isInitiallyOpen={!!form.settings.guard}
    >
      <OneOf
        form={form}
        name="guardMode"
        options={MODES}
        value={guard.mode ?? 'off'}
        onChange={(mode) => set({ mode: mode as Guard['mode'] })}
      />
      <Bounded form={form} name="maxBytes" value={guard.maxBytes} onChange={(maxBytes) => set({ maxBytes })} />
      <Bounded form={form} name="maxEntries" value={guard.maxEntries} onChange={(maxEntries) => set({ maxEntries })} />
      <Bounded form={form} name="maxRangeS" value={guard.maxRangeS} onChange={(maxRangeS) => set({ maxRangeS })} />
    </ConfigSection>
  );
}

function Redaction({ form }: { form: Form }) {
  const redaction = form.settings.redaction ?? {};
  return (
    <ConfigSection title={words.redaction.title} description={words.redaction.description}>
      {(['ipAddresses', 'emailAddresses'] as const).map((name) => (
        <Toggle
          key={name}
          form={form}
          name={name}
          value={redaction[name]}
          onChange={(value) => form.set('redaction', { ...redaction, [name]: value })}
        />
      ))}
      <SecretSetting form={form} name="hashKey" />
    </ConfigSection>
  );
}

function Links({ form }: { form: Form }) {
  const { lokiUid, tempoUid, prometheusUid } = form.settings;
  const picker = (name: 'lokiUid' | 'tempoUid' | 'prometheusUid', type: string) => (
    <Labelled name={name}>
      {(id) => (
        <DataSourcePicker
          inputId={id}
          pluginId={type}
          noDefault
          width={48}
          disabled={form.readOnly}
          current={form.settings[name] ?? null}
          onChange={({ uid }) => form.set(name, uid)}
          onClear={() => form.set(name, undefined)}
        />
      )}
    </Labelled>
  );
  const isSet = !!(lokiUid || tempoUid || prometheusUid);
  return (
    <ConfigSection
      title={words.links.title}
      description={words.links.description}
      isCollapsible
      isInitiallyOpen={isSet}
    >
      {picker('tempoUid', 'tempo')}
      {picker('lokiUid', 'loki')}
      {picker('prometheusUid', 'prometheus')}
    </ConfigSection>
  );
}

const PROTOCOLS = [
  { value: 'grpc', label: 'gRPC' },
  { value: 'http/protobuf', label: 'HTTP' },
];

function Telemetry({ form }: { form: Form }) {
  const { otlpEndpoint, otlpProtocol, otlpCaptureContent } = form.settings;
  return (
    <ConfigSection
      title={words.telemetry.title}
      description={words.telemetry.description}
      isCollapsible
      isInitiallyOpen={!!otlpEndpoint}
    >
      <TextSetting form={form} name="otlpEndpoint" placeholder="http://tempo:4317" />
      <OneOf
        form={form}
        name="otlpProtocol"
        options={PROTOCOLS}
        value={otlpProtocol ?? 'grpc'}
        onChange={(value) => form.set('otlpProtocol', value as Settings['otlpProtocol'])}
      />
      <SecretSetting form={form} name="otlpHeaders" />
      <Toggle
        form={form}
        name="otlpCaptureContent"
        value={otlpCaptureContent}
        onChange={(value) => form.set('otlpCaptureContent', value)}
      />
    </ConfigSection>
  );
}
