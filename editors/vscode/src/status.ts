/** What the status bar shows, from the server's STATUS (docs/protocol.md) and the settings. */
import * as vscode from 'vscode';

export interface Status {
  kind?: 'normal' | 'busy' | 'error' | 'inactive';
  message?: string;
  engine: { state: string; problem?: string | null; model?: string };
  folders: { root: string; state: string; files: number; done?: number; total?: number }[];
}

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem('midfill', vscode.StatusBarAlignment.Right, 100);
  private text = '';
  private icon = 'loading~spin';

  constructor() {
    this.item.name = 'midfill';
    this.item.command = 'midfill.menu';
    this.item.show();
  }

  /** Take in a STATUS; servers that send none are ready once they run. */
  update(status: Status): void {
    const icons = { normal: 'sparkle', busy: 'loading~spin', error: 'warning', inactive: 'circle-slash' };
    this.set(icons[status.kind ?? 'normal'], status.engine.problem ?? status.message ?? status.engine.state);
  }

  set(icon: string, text: string): void {
    this.icon = icon;
    this.text = text;
    this.draw();
  }

  /** Draw again, as when another file is shown. */
  draw(): void {
    const language = vscode.window.activeTextEditor?.document.languageId;
    const isOff = this.icon === 'sparkle' && !isEnabled(language);
    this.item.text = `$(${isOff ? 'circle-slash' : this.icon}) midfill`;
    this.item.tooltip = isOff ? `midfill is off${isEnabled() ? ` for ${language}` : ''}` : `midfill: ${this.text}`;
    this.item.backgroundColor = this.icon === 'warning' ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
  }

  dispose(): void {
    this.item.dispose();
  }
}

/** Whether suggestions come unasked, in a language or at all. */
export function isEnabled(language?: string): boolean {
  const settings = vscode.workspace.getConfiguration('midfill');
  return settings.get('enabled', true) && !(language && settings.get<string[]>('disabledLanguages', []).includes(language));
}

export async function toggle(): Promise<void> {
  const settings = vscode.workspace.getConfiguration('midfill');
  await settings.update('enabled', !settings.get('enabled', true), vscode.ConfigurationTarget.Global);
}

export async function toggleLanguage(language: string): Promise<void> {
  const settings = vscode.workspace.getConfiguration('midfill');
  const disabled = settings.get<string[]>('disabledLanguages', []);
  const left = disabled.filter((name) => name !== language);
  await settings.update(
    'disabledLanguages', left.length < disabled.length ? left : [...disabled, language], vscode.ConfigurationTarget.Global);
}
