// Fields of the settings form, each bound to the setting whose name it has.

import { css } from '@emotion/css';
import { Button, Combobox, Field, IconButton, Input, RadioButtonGroup, SecretInput, Switch } from '@grafana/ui';
import React, { useId } from 'react';
import type { Form } from '../../form';
import { text } from '../../text';
import type { Settings } from '../../types';

const WIDTH = 48;

interface Props<K extends keyof Settings = keyof Settings> {
  form: Form;
  name: K;
  placeholder?: string;
}

function described(name: string): { label: string; description: string } {
  return text.config.settings[name] ?? { label: name, description: '' };
}

/** A label that belongs to its input, and what the setting does. */
export function Labelled({ name, children }: { name: string; children: (id: string) => React.ReactElement }) {
  const id = useId();
  return (
    <Field {...described(name)} htmlFor={id}>
      {children(id)}
    </Field>
  );
}

export function TextSetting({ form, name, placeholder }: Props) {
  return (
    <Labelled name={name}>
      {(id) => (
        <Input
          id={id}
          width={WIDTH}
          disabled={form.readOnly}
          placeholder={placeholder}
          value={String(form.settings[name] ?? '')}
          onChange={(event) => form.set(name, event.currentTarget.value as never)}
        />
      )}
    </Labelled>
  );
}

interface CellProps {
  form: Form;
  label: string;
  width: number;
  placeholder: string;
  value: string;
  onChange: (value: string) => void;
}

/** A field in a row of a list, without the room below it. Grafana 12.0 has no property for that. */
export function RowField({ label, id, children }: { label: string; id: string; children: React.ReactElement }) {
  return (
    <Field label={label} htmlFor={id} className={css({ marginBottom: 0 })}>
      {children}
    </Field>
  );
}

/** One of several inputs in a row of a list: its label says all there is to say. */
export function Cell({ form, label, width, placeholder, value, onChange }: CellProps) {
  const id = useId();
  return (
    <RowField label={label} id={id}>
      <Input
        id={id}
        width={width}
        disabled={form.readOnly}
        placeholder={placeholder}
        value={value}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    </RowField>
  );
}

interface RowsProps<T> {
  form: Form;
  items: T[];
  /** What the button says that adds one. */
  add: string;
  blank: T;
  onChange: (items: T[]) => void;
  row: (item: T, index: number, change: (item: T) => void) => React.ReactElement;
}

/** A list that is edited row by row. A row has nothing that stays while its name is typed, but its place. */
export function Rows<T>({ form, items, add, blank, onChange, row }: RowsProps<T>) {
  const replaced = (index: number, next: T) => onChange(items.map((other, at) => (at === index ? next : other)));
  return (
    <>
      {items.map((item, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: its place is what a row has
        <React.Fragment key={index}>{row(item, index, (next) => replaced(index, next))}</React.Fragment>
      ))}
      <div>
        <Button
          variant="secondary"
          icon="plus"
          size="sm"
          disabled={form.readOnly}
          onClick={() => onChange([...items, blank])}
        >
          {add}
        </Button>
      </div>
    </>
  );
}

/** Takes a row out of its list. */
export function RemoveButton({ form, label, onClick }: { form: Form; label: string; onClick: () => void }) {
  return <IconButton name="trash-alt" size="lg" aria-label={label} disabled={form.readOnly} onClick={onClick} />;
}

export function NumberSetting({ form, name, placeholder }: Props) {
  return (
    <Bounded
      name={name}
      form={form}
      placeholder={placeholder}
      value={form.settings[name] as number | undefined}
      onChange={(value) => form.set(name, value as never)}
    />
  );
}

interface BoundedProps {
  form: Form;
  name: string;
  placeholder?: string;
  value: number | undefined;
  onChange: (value: number | undefined) => void;
}

/** A number that is not below zero; empty for the default. */
export function Bounded({ form, name, placeholder, value, onChange }: BoundedProps) {
  return (
    <Labelled name={name}>
      {(id) => (
        <Input
          id={id}
          type="number"
          min={0}
          width={24}
          disabled={form.readOnly}
          placeholder={placeholder}
          value={value ?? ''}
          onChange={(event) =>
            onChange(event.currentTarget.value === '' ? undefined : event.currentTarget.valueAsNumber)
          }
        />
      )}
    </Labelled>
  );
}

interface ToggleProps {
  form: Form;
  name: string;
  value: boolean | undefined;
  onChange: (value: boolean | undefined) => void;
}

/** A switch; off is the default and leaves nothing behind. */
export function Toggle({ form, name, value, onChange }: ToggleProps) {
  return (
    <Labelled name={name}>
      {(id) => (
        <Switch
          id={id}
          disabled={form.readOnly}
          value={value === true}
          onChange={(event) => onChange(event.currentTarget.checked || undefined)}
        />
      )}
    </Labelled>
  );
}

export function SecretSetting({ form, name }: { form: Form; name: string }) {
  return <Labelled name={name}>{(id) => <Secret id={id} form={form} name={name} />}</Labelled>;
}

/** A secret: it can be written and forgotten, and never comes back from Grafana. */
export function Secret({ id, form, name, width = WIDTH }: { id: string; form: Form; name: string; width?: number }) {
  return (
    <SecretInput
      id={id}
      width={width}
      disabled={form.readOnly}
      autoComplete="off"
      isConfigured={form.isConfigured(name)}
      value={form.secret(name)}
      onChange={(event) => form.setSecret(name, event.currentTarget.value)}
      onReset={() => form.resetSecret(name)}
    />
  );
}

interface OneOfProps {
  form: Form;
  name: string;
  options: Array<{ value: string; label?: string }>;
  value: string;
  onChange: (value: string) => void;
}

export function OneOf({ form, name, options, value, onChange }: OneOfProps) {
  return (
    <Labelled name={name}>
      {(id) => (
        <RadioButtonGroup id={id} disabled={form.readOnly} options={options} value={value} onChange={onChange} />
      )}
    </Labelled>
  );
}

/** Names to choose from, or any other. */
export function NameSetting({ form, name, names }: Props & { names: string[] }) {
  return (
    <Labelled name={name}>
      {(id) => (
        <Combobox<string>
          id={id}
          width={WIDTH}
          disabled={form.readOnly}
          isClearable
          createCustomValue
          options={names.map((value) => ({ value }))}
          value={(form.settings[name] as string | undefined) ?? null}
          onChange={(option) => form.set(name, option?.value as never)}
        />
      )}
    </Labelled>
  );
}
