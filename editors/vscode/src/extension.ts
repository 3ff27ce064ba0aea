/** Starts the midfill language server and puts what it says where one looks for it; completes nothing by itself. */
import * as vscode from 'vscode';
import { ClientCapabilities, ExecuteCommandRequest, LanguageClient, State, StaticFeature } from 'vscode-languageclient/node';
import { Pages } from './documents';
import * as server from './server';
import { Status, StatusBar, toggle } from './status';

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  await new Midfill(context).start();
}

class Midfill {
  private client: LanguageClient | undefined;
  private readonly log = vscode.window.createOutputChannel('midfill', { log: true });
  private readonly bar = new StatusBar();
  private readonly pages = new Pages();

  constructor(private readonly context: vscode.ExtensionContext) {
    const command = (name: string, action: () => unknown) => vscode.commands.registerCommand(`midfill.${name}`, action);
    const editor = () => vscode.window.activeTextEditor;
    context.subscriptions.push(
      this.log, this.bar, { dispose: () => void this.client?.dispose() },
      vscode.workspace.registerTextDocumentContentProvider('midfill', this.pages),
      vscode.window.onDidChangeActiveTextEditor(() => this.bar.draw()),
      vscode.workspace.onDidChangeConfiguration((event) => this.configured(event)),
      command('toggle', () => toggle()),
      command('toggleLanguage', () => editor() && toggle(editor()?.document.languageId)),
      command('index', () => this.client?.sendRequest(ExecuteCommandRequest.type, { command: 'midfill.reindex' })),
      command('why', () => this.show('why', editor() ? { textDocument: { uri: editor()?.document.uri.toString() } } : {})),
      command('stats', () => this.show('stats', {})),
      command('chooseModel', () => this.chooseModel()),
      command('restart', () => this.restart()),
      command('openLog', () => this.log.show()),
      command('install', () => this.install()),
    );
  }

  /** Start the server, or say that there is none. */
  async start(): Promise<void> {
    const path = server.find(this.context.globalStorageUri);
    await vscode.commands.executeCommand('setContext', 'midfill.found', path !== undefined);
    if (!path) {
      this.bar.set('error', 'the server is not installed');
      this.log.warn('no midfill program was found; the setting midfill.server.path names one');
      void this.offerInstallation();
      return;
    }
    this.log.info(`starting ${path}`);
    this.bar.set('busy', 'starting');
    this.client = this.makeClient(path);
    await this.client.start().catch((error: unknown) => {
      this.bar.set('error', `${path} does not start; see the log`);
      this.log.error(String(error));
    });
  }

  private makeClient(path: string): LanguageClient {
    const client = new LanguageClient('midfill', 'midfill', { command: path, args: ['lsp'] }, {
      documentSelector: ['file', 'untitled', 'vscode-notebook-cell'].map((scheme) => ({ scheme })),
      outputChannel: this.log,
    });
    const show = ({ kind, message }: Status): void => this.bar.set(kind, message);
    client.registerFeature(statusFeature);
    client.onNotification('midfill/didChangeStatus', show);
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Running) {
        // Only once it has answered are the client's features, suggestions among them, there.
        void client.sendRequest<Status>('midfill/status', {}).then(show, (error: unknown) => this.log.warn(String(error)));
      } else if (newState === State.Stopped) {
        this.bar.set('error', 'the server has ended');
      }
    });
    return client;
  }

  private async restart(): Promise<void> {
    const old = this.client;
    this.client = undefined;
    await old?.dispose().catch((error: unknown) => this.log.warn(String(error)));
    await this.start();
  }

  private async configured(event: vscode.ConfigurationChangeEvent): Promise<void> {
    if (event.affectsConfiguration('midfill.server.path')) {
      await this.restart();
    }
    this.bar.draw();
  }

  private async install(): Promise<void> {
    await server.install(this.context.globalStorageUri);
    await this.restart();
  }

  private async offerInstallation(): Promise<void> {
    const [message, install] = ['midfill: its server is not installed here.', 'Install'];
    const picked = await vscode.window.showInformationMessage(message, install, 'Set the Path');
    if (picked) {
      const command = picked === install ? 'midfill.install' : 'workbench.action.openSettings';
      await vscode.commands.executeCommand(command, 'midfill.server.path');
    }
  }

  /** Ask the server for a page and show it; what goes wrong is one message. */
  private async show(page: 'why' | 'stats', params: object): Promise<void> {
    try {
      if (!this.client) {
        throw new Error('its server is not running');
      }
      const answer = await this.client.sendRequest<{ text: string } | null>(`midfill/${page}`, params);
      await this.pages.show(page, answer?.text ?? 'Nothing has been asked in this file yet.');
    } catch (error) {
      void vscode.window.showWarningMessage(`midfill: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private async chooseModel(): Promise<void> {
    const path = server.find(this.context.globalStorageUri);
    const other = 'A folder or another name…';
    const names = new Set(['default', ...(path ? await server.models(path) : []), other]);
    const picked = await vscode.window.showQuickPick([...names], { title: 'midfill: model' });
    const prompt = 'The path of a model folder, or a name in the local Hugging Face cache';
    const model = picked === other ? await vscode.window.showInputBox({ title: 'midfill: model', prompt }) : picked;
    if (model) {
      await vscode.workspace.getConfiguration('midfill').update('model', model, vscode.ConfigurationTarget.Global);
    }
  }
}

/** Tells the server that we listen to `midfill/didChangeStatus`. */
const statusFeature: StaticFeature = {
  fillClientCapabilities(capabilities: ClientCapabilities) {
    capabilities.experimental = { ...capabilities.experimental, midfill: { statusNotifications: true } };
  },
  initialize: () => undefined,
  getState: () => ({ kind: 'static' }),
  clear: () => undefined,
};
